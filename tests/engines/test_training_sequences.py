"""What is too long is cut by rule: a prompt loses its beginning, so that there is something left to learn."""

from protocol.jobs import TrainingSequence
from protocol.prompts import with_system
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.training_sequences import encode_prompt, encode_sequences


def test_a_long_prompt_loses_its_beginning_and_the_completion_is_kept_whole() -> None:
    loaded = load_model("random:tiny-llama")
    prompt, completion = "abcdefghij" * 20, "learn me"
    encoded = encode_sequences(loaded, (TrainingSequence(prompt=prompt, completion=completion, weight=1.0),), max_length=40, pad_loss="eos")
    (sequence,) = encoded.sequences
    completion_ids = [*loaded.tokenizer(completion, add_special_tokens=False).input_ids, loaded.eos_token_id]
    assert encoded.num_truncated == 1
    assert sequence.ids_L.tolist() == [*encode_prompt(loaded, prompt), *completion_ids][-40:]
    assert sequence.targets_N.tolist() == completion_ids


def test_a_prompt_may_bear_loss_too() -> None:
    loaded = load_model("random:tiny-llama")
    prompt, completion = "question: ", "answer"
    sequence = TrainingSequence(prompt=prompt, completion=completion, weight=1.0, loss_on_prompt=True)
    (encoded,) = encode_sequences(loaded, (sequence,), max_length=100, pad_loss="eos").sequences
    completion_ids = [*loaded.tokenizer(completion, add_special_tokens=False).input_ids, loaded.eos_token_id]
    assert encoded.ids_L.tolist() == [*encode_prompt(loaded, prompt), *completion_ids][: len(encoded.ids_L)]
    assert encoded.first_loss_position == 0
    assert encoded.targets_N.tolist() == [*encode_prompt(loaded, prompt), *completion_ids][1:]


def test_instructions_are_part_of_the_text_for_a_model_without_chat() -> None:
    loaded = load_model("random:tiny-llama")
    assert encode_prompt(loaded, with_system("Do.\n", "Now?")) == encode_prompt(loaded, "Do.\nNow?")


def test_a_completion_that_is_too_long_leaves_a_quarter_for_its_prompt_and_loses_its_end() -> None:
    loaded = load_model("random:tiny-llama")
    sequence = TrainingSequence(prompt="abcdefghij" * 20, completion="xyz" * 50, weight=1.0)
    encoded = encode_sequences(loaded, (sequence,), max_length=40, pad_loss="eos")
    assert len(encoded.sequences[0].ids_L) == 40
    assert len(encoded.sequences[0].targets_N) == 30
