"""Instruct models: prompts in the chat template, everywhere alike, and the texts of the inner loop as they are."""

from pathlib import Path

import pytest

from protocol.jobs import TrainingSequence
from protocol.prompts import with_system
from seal_runtime.config.chat import speaks_chat
from seal_runtime.config.topology import ModelConfig
from seal_runtime.engines.base import AnswerRequest, Policy
from seal_runtime.engines.chat_prompts import spoken_to
from seal_runtime.engines.factory import make_adapt_engine, make_generation_engine
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.training_sequences import encode_prompt, encode_sequences
from seal_runtime.engines.vllm_prompts import load_skeleton
from seal_runtime.errors import ConfigError

TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer has a chat template."""
    path = tmp_path_factory.mktemp("chat") / "model"
    loaded = load_model("random:tiny-llama")
    loaded.tokenizer.chat_template = TEMPLATE
    loaded.model.save_pretrained(path)
    loaded.tokenizer.save_pretrained(path)
    return path


def test_a_prompt_is_a_users_request_with_one_start(folder: Path) -> None:
    plain = load_model(str(folder))
    loaded = spoken_to(plain, chat=True, parse_special_tokens=False)
    wanted = plain.tokenizer("<s>[user] Who?\n[assistant] ", add_special_tokens=False).input_ids
    assert encode_prompt(loaded, "Who?") == wanted
    assert encode_prompt(plain, "Who?") != wanted
    assert encode_prompt(spoken_to(plain, chat=False, parse_special_tokens=False), "Who?") == encode_prompt(plain, "Who?")
    skeleton = spoken_to(load_skeleton(str(folder), None, plain.context_length), chat=True, parse_special_tokens=False)
    assert encode_prompt(skeleton, "Who?") == wanted


def test_instructions_become_the_systems_turn(folder: Path) -> None:
    loaded = spoken_to(load_model(str(folder)), chat=True, parse_special_tokens=False)
    wanted = loaded.tokenizer("<s>[system] Be brief.\n[user] Who?\n[assistant] ", add_special_tokens=False).input_ids
    assert encode_prompt(loaded, with_system("Be brief.", "Who?")) == wanted
    sequence = TrainingSequence(prompt=with_system("Be brief.", "Who?"), completion="I", weight=1.0, loss_on_prompt=True)
    (learnt,) = encode_sequences(loaded, (sequence,), max_length=200, pad_loss="eos").sequences
    assert learnt.ids_L.tolist()[: len(wanted)] == wanted
    assert learnt.first_loss_position == 0


def test_a_template_that_writes_the_date_gets_the_same_one_every_day(folder: Path) -> None:
    loaded = load_model(str(folder))
    dated = "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }} "
    loaded.tokenizer.chat_template = "<s>" + dated + TEMPLATE.replace("{{ '<s>' }}", "")
    text = loaded.tokenizer.decode(encode_prompt(spoken_to(loaded, chat=True, parse_special_tokens=False), "Who?"))
    assert text.startswith("<s>26 Jul 2024 ")


def test_policy_updates_learn_in_the_template_and_inner_loops_on_plain_text(folder: Path) -> None:
    plain = load_model(str(folder))
    loaded = spoken_to(plain, chat=True, parse_special_tokens=False)
    sequences = (
        TrainingSequence(prompt="Write.", completion="An edit", weight=1.0),
        TrainingSequence(prompt="", completion="Title\nA line", weight=1.0),
    )
    update, inner = encode_sequences(loaded, sequences, max_length=200, pad_loss="eos").sequences
    completion = [*plain.tokenizer("An edit", add_special_tokens=False).input_ids, plain.eos_token_id]
    assert update.ids_L.tolist() == [*encode_prompt(loaded, "Write."), *completion][: len(update.ids_L)]
    assert update.targets_N.tolist() == completion
    (same,) = encode_sequences(plain, sequences[1:], max_length=200, pad_loss="eos").sequences
    assert inner.ids_L.tolist() == same.ids_L.tolist()


def test_an_engine_that_speaks_chat_answers_as_to_the_written_out_prompt(folder: Path) -> None:
    def tokens(prompt: str, chat: bool) -> tuple[tuple[int, ...], ...]:
        engine = make_generation_engine("transformers", model=str(folder), chat=chat)
        policy = Policy(version=0, adapters=())
        engine.submit(AnswerRequest(request_id="a", policy=policy, adapter=None, prompts=(prompt,), max_new_tokens=8))
        outputs = []
        while engine.num_pending:
            outputs += engine.step()
        return outputs[0].token_ids  # type: ignore[union-attr]

    written = "<s>[user] Who is it?\n[assistant] "  # this tokenizer adds no start token of its own
    assert tokens("Who is it?", True) == tokens(written, False)
    assert tokens("Who is it?", True) != tokens("Who is it?", False)


def test_a_model_without_a_template_is_refused() -> None:
    for make in (make_adapt_engine, make_generation_engine):
        engine = "batched" if make is make_adapt_engine else "transformers"
        with pytest.raises(ConfigError, match=r"model\.chat"):
            make(engine, model="random:tiny-llama", chat=True)


@pytest.mark.parametrize(
    ("path", "chat", "expected"),
    [
        ("Qwen/Qwen2.5-7B", "auto", False),
        ("Qwen/Qwen2.5-7B-Instruct", "auto", True),
        ("meta-llama/Llama-3.2-1B-Instruct", "auto", True),
        ("google/gemma-2-2b-it", "auto", True),
        ("./models/chat", "auto", True),
        ("org/limit-7b", "auto", False),
        ("builtin:seal-tiny", "auto", False),
        ("Qwen/Qwen3-8B", True, True),
        ("Qwen/Qwen2.5-7B-Instruct", False, False),
    ],
)
def test_auto_goes_by_the_name(path: str, chat: bool, expected: bool) -> None:
    assert speaks_chat(ModelConfig.model_validate({"path": path, "chat": chat})) is expected
