"""What the prompts of a request begin with is read once, and nothing of it is seen in the answers."""

import pytest
import torch
from peft import PeftModel

from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AnswerRequest, Policy
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.prompt_layout import PromptLayout, PromptReader
from seal_runtime.engines.transformers_generation import TransformersGenerationEngine

FAMILIES = ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2"]
TOPIC = "Let's answer a question.\nTopic: the river town of Arden\nQuestion: "
UNEQUAL = tuple(f"{TOPIC}{text}" for text in ("Who was mayor?", "Where?", "Near which old stone bridge does it lie?", "Why not?"))
REQUESTS = {
    "unequal": UNEQUAL,
    "single": UNEQUAL[:1],
    "identical": (UNEQUAL[1],) * 3,
    "nested": (UNEQUAL[1], TOPIC, UNEQUAL[1] + " And when?"),
    "one-letter": ("Who?", "When was the mill built?", "Where?"),
    "nothing": ("Who?", "Arden?"),
    "lopsided": ("Q" + "x" * 90, "Qa", "Qb", "Qc"),
}
BASE = Policy(version=0, adapters=())


def _request(name, prompts, adapter=None):
    return AnswerRequest(request_id=name, policy=BASE, adapter=adapter, prompts=tuple(prompts), max_new_tokens=9)


def _engine(family, **changes):
    return TransformersGenerationEngine(load_model(f"random:{family}"), **({"max_batch_rows": 64} | changes))


def _adapter(family, adapt_request, drain):
    request = adapt_request(1, num_sequences=3, lora={"targets": ("all-linear",)}, optim={"learning_rate": 2e-2, "epochs": 4})
    drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=1), [request])
    return request.output_dir


def _layout(*prompts):
    return PromptLayout([list(map(ord, text)) for text in prompts], 1, torch.device("cpu"))


def test_the_common_beginning_is_laid_out_once():
    layout = _layout("abcd", "abe", "abcfg")
    assert layout.prefix_length == 2
    assert layout.ids_T.tolist() == list(map(ord, "abcdecfg"))
    assert layout.positions_T.tolist() == [0, 1, 2, 3, 2, 2, 3, 4]
    assert layout.lengths == [2, 2, 1, 3]
    assert layout.last_rows_N.tolist() == [3, 4, 7]
    # Columns: prefix, filling (row 0), rest, one new token.
    assert layout.columns.view(3, 6).tolist() == [[0, 1, 0, 2, 3, 0], [0, 1, 0, 0, 4, 0], [0, 1, 5, 6, 7, 0]]
    hidden = layout.rest_mask(torch.zeros(()), None, 1)[:, 0].isinf()
    assert hidden[0].int().tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 0, 1], [0, 0, 1, 0, 0]]
    assert hidden[1, 2].int().tolist() == [0, 0, 1, 1, 0]
    windowed = layout.rest_mask(torch.zeros(()), 3, 1)[:, 0].isinf()
    assert windowed[2].int().tolist() == [[0, 0, 0, 1, 1], [1, 0, 0, 0, 1], [1, 1, 0, 0, 0]]
    assert windowed[0, 2].int().tolist() == [1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("prompts", "prefix_length"),
    [(("abc",), 0), (("abc", "abc"), 2), (("ab", "abc"), 1), (("xa", "ya"), 0), (("q" + "x" * 90, "qa", "qb", "qc"), 0)],
)
def test_every_prompt_keeps_a_token_and_sharing_never_pads_beyond_reason(prompts, prefix_length):
    layout = _layout(*prompts)
    assert layout.prefix_length == prefix_length
    assert layout.num_rows == sum(map(len, prompts)) - prefix_length * (len(prompts) - 1)


def test_the_same_questions_are_encoded_once():
    reader = PromptReader(load_model("random:tiny-llama"))
    assert reader.read(UNEQUAL, 9) is reader.read(UNEQUAL, 9)
    assert reader.read(UNEQUAL, 9) is not reader.read(UNEQUAL, 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_to_prompts_that_share_equal_peft_one_at_a_time(family, adapt_request, drain):
    folder = _adapter(family, adapt_request, drain)
    requests = [_request(name, prompts, folder) for name, prompts in REQUESTS.items()]
    results = drain(_engine(family), [*requests, _request("plain", UNEQUAL)])
    loaded = load_model(f"random:{family}")
    expected = {"plain": tuple(_generate(loaded, loaded.model, prompt) for prompt in UNEQUAL)}
    adapted = PeftModel.from_pretrained(load_model(f"random:{family}").model, folder)
    expected |= {name: tuple(_generate(loaded, adapted, prompt) for prompt in prompts) for name, prompts in REQUESTS.items()}
    assert {name: results[name].token_ids for name in expected} == expected


def _generate(loaded, model, prompt):
    ids = torch.tensor([loaded.tokenizer(prompt).input_ids])
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=9, do_sample=False, pad_token_id=256)
    tokens = out[0, ids.shape[1] :].tolist()
    ends = [index for index, token in enumerate(tokens) if token == 256 or "\n" in loaded.tokenizer.decode([token])]
    return tuple(tokens[: ends[0] + 1] if ends else tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_sharing_requests_are_bit_identical_whatever_else_is_in_the_batch(family, adapt_request, drain):
    folder = _adapter(family, adapt_request, drain)
    requests = [_request(name, prompts, folder) for name, prompts in REQUESTS.items()]
    requests += [_request(f"plain-{name}", prompts) for name, prompts in REQUESTS.items()]
    alone, lonely = {}, _engine(family)
    for request in requests:
        alone |= drain(lonely, [request])
    assert drain(_engine(family), requests) == alone
    assert drain(_engine(family, max_prefill_tokens=200), requests[::-1]) == alone
    # The plain requests have been answered: their passes are what the adapted ones are compared to.
    engine = _engine(family, max_batch_rows=9)
    assert drain(engine, requests[len(REQUESTS) :]) | drain(engine, requests[: len(REQUESTS)]) == alone


def test_a_sliding_window_reaches_over_the_end_of_the_shared_beginning(drain):
    loaded, plain = load_model("random:tiny-mistral"), load_model("random:tiny-mistral")
    for model in (loaded.model, plain.model):
        model.config.sliding_window = 4
        for layer in model.model.layers:
            layer.self_attn.config.sliding_window = 4
    results = drain(TransformersGenerationEngine(loaded, max_batch_rows=64), [_request("windowed", UNEQUAL)])
    assert results["windowed"].token_ids == tuple(_greedy(plain, prompt) for prompt in UNEQUAL)


def _greedy(loaded, prompt):
    """Return the greedy continuation by reading the whole text anew for each token: without any cache."""
    ids = loaded.tokenizer(prompt).input_ids
    tokens = []
    while len(tokens) < 9 and not (tokens and (tokens[-1] == 256 or "\n" in loaded.tokenizer.decode(tokens[-1:]))):
        with torch.no_grad():
            tokens.append(int(loaded.model(input_ids=torch.tensor([ids + tokens]), use_cache=False).logits[0, -1].argmax()))
    return tuple(tokens)


def test_an_adapter_is_compared_to_the_pass_of_the_plain_answers_where_there_was_one(adapt_request, drain):
    folder = _adapter("tiny-llama", adapt_request, drain)
    engine = _engine("tiny-llama")
    rows = []
    batch = engine._packed.batch
    engine._packed.batch = lambda groups, phase: rows.append((phase, len(groups))) or batch(groups, phase)
    drain(engine, [_request("plain", UNEQUAL)])
    drain(engine, [_request("adapted", UNEQUAL, folder)])
    drain(engine, [_request("other", UNEQUAL[1:], folder)])
    assert [size for phase, size in rows if phase == "prompts"] == [1, 1, 2]
