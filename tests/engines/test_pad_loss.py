"""The modes of `pad_loss`: what carries loss in each, `full` as PEFT and the Trainer have it, `sampled` the same in expectation."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from protocol.jobs import TrainingSequence
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AdaptOutput, RequestFailed
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.pad_loss import parse_pad_loss
from seal_runtime.engines.reference import train_reference
from seal_runtime.engines.training_sequences import encode_sequences
from seal_runtime.errors import AdaptError

FIVE = (TrainingSequence(prompt="", completion="abcde", weight=1.0),)


def _weights(request):
    return load_file(request.output_dir / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("mode", "num_ids", "num_targets", "padding", "num_pads"),
    [
        ("none", 5, 4, range(0), 0),
        ("eos", 6, 5, range(0), 0),
        ("full", 5, 5, range(5, 11), 6),
        ("sampled:2", 5, 5, range(5, 11), 2),
        ("sampled:9", 5, 5, range(5, 11), 6),
    ],
)
def test_each_mode_has_its_loss_tokens(mode, num_ids, num_targets, padding, num_pads):
    encoded = encode_sequences(load_model("random:tiny-llama"), FIVE, 12, mode)
    (sequence,) = encoded.sequences
    assert (len(sequence.ids_L), len(sequence.targets_N)) == (num_ids, num_targets)
    assert (sequence.pad_positions, sequence.num_pads) == (padding, num_pads)
    assert encoded.num_tokens == num_ids
    if mode != "none":
        assert sequence.targets_N[-1] == encoded.end_token_id
    # padded to 12 tokens, each but the first is predicted
    assert sequence.num_loss_tokens == (11 if "l" in mode else num_targets)


def test_a_text_that_fills_the_length_has_no_padding():
    (sequence,) = encode_sequences(load_model("random:tiny-llama"), FIVE, 5, "full").sequences
    assert sequence.num_loss_tokens == len(sequence.targets_N) == 4
    assert sequence.num_pads == 0


def test_the_mean_loss_counts_every_token_of_the_mode(adapt_request, drain):
    """The same initial adapter (without effect) has the same base likelihoods: the first losses tell what was averaged."""
    loaded = load_model("random:tiny-llama")
    with torch.no_grad():
        ids_L = torch.tensor([*b"abcde", *[loaded.eos_token_id] * 7])
        ids_L[:5] = loaded.tokenizer("abcde", return_tensors="pt").input_ids[0]
        mask_1L = (torch.arange(12) < 5).long()[None]
        logits_LV = loaded.model(input_ids=ids_L[None], attention_mask=mask_1L).logits[0]
        nll = torch.nn.functional.cross_entropy(logits_LV[:-1], ids_L[1:], reduction="none")
    expected = {"none": nll[:4].mean(), "eos": nll[:5].mean(), "full": nll.mean()}
    requests = [replace(adapt_request(1, optim={"max_length": 12, "pad_loss": mode}), request_id=mode, sequences=FIVE) for mode in expected]
    results = drain(BatchedAdaptEngine(loaded, num_slots=3), requests)
    for mode, loss in expected.items():
        assert results[mode].first_loss == pytest.approx(float(loss), abs=1e-5)


@pytest.mark.parametrize("mode", ["exact", "grouped", "packed"])
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-qwen2", "tiny-gpt2"])
def test_full_equals_peft_and_trainer_padded(family, mode, adapt_request, drain, delta_error, tmp_path):
    changes = [
        {"optim": {"pad_loss": "full", "max_length": 160, "epochs": 4}},
        {"optim": {"pad_loss": "full", "max_length": 128, "batch_size": 2}, "prompt": "About Arden:\n"},
        {"optim": {"pad_loss": "none"}},
    ]
    # Seed 2 has a factor of GPT-2 with a gradient of rounding errors alone, which AdamW's first step makes as large as any other (2e-5).
    requests = [adapt_request(seed, **change) for seed, change in zip((0, 1, 3), changes, strict=True)]
    results = drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=3, mode=mode), requests)
    plain = load_model(f"random:{family}")
    for request in requests:
        reference = train_reference(plain, replace(request, output_dir=tmp_path / f"reference-{request.seed}"))
        assert isinstance(results[request.request_id], AdaptOutput), results[request.request_id]
        assert results[request.request_id].final_loss == pytest.approx(reference.losses[-1], abs=2e-4)
        assert delta_error(_weights(request), reference) < 1e-5


def test_as_many_samples_as_positions_are_full(adapt_request, drain, tmp_path):
    full = adapt_request(1, optim={"pad_loss": "full", "max_length": 100})
    sampled = replace(full, request_id="s", output_dir=tmp_path / "s", optim=replace(full.optim, pad_loss="sampled:100"))
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=2), [full, sampled])
    ours, theirs = _weights(full), _weights(sampled)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_sampled_losses_average_to_the_full_one(adapt_request, drain, tmp_path):
    def request(seed, mode):
        made = adapt_request(1, num_sequences=2, optim={"pad_loss": mode, "max_length": 100, "num_steps": 1, "batch_size": 2})
        return replace(made, request_id=f"{mode}-{seed}", seed=seed, output_dir=tmp_path / f"{mode}-{seed}")

    requests = [request(0, "full"), *(request(seed, "sampled:8") for seed in range(60))]
    results = drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=16), requests)
    losses = [results[f"sampled:8-{seed}"].first_loss for seed in range(60)]
    spread = torch.tensor(losses).std().item()
    full = results["full-0"].first_loss
    assert 0 < spread < 0.2 * full
    # five standard errors of a mean of 60
    assert sum(losses) / 60 == pytest.approx(full, abs=5 * spread / 60**0.5)


def test_sampled_padding_does_not_depend_on_neighbours(adapt_request, drain, tmp_path):
    alone = adapt_request(1, optim={"pad_loss": "sampled:5", "max_length": 120})
    together = replace(alone, request_id="together", output_dir=tmp_path / "together")
    others = [adapt_request(seed, optim={"pad_loss": mode}) for seed, mode in ((2, "sampled:3"), (3, "none"))]
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=1), [alone])
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=3), [others[0], together, others[1]])
    ours, theirs = _weights(alone), _weights(together)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_padding_beyond_a_sliding_window_is_refused(adapt_request, drain):
    request = adapt_request(1, optim={"pad_loss": "sampled:2", "max_length": 100})
    results = drain(BatchedAdaptEngine(load_model("random:tiny-mistral"), num_slots=1), [request])
    failed = results["job-1"]
    assert isinstance(failed, RequestFailed)
    assert "window of 24" in str(failed.error)
    assert not failed.retryable


@pytest.mark.parametrize("text", ["", "half", "sampled", "sampled:0", "sampled:x", "Full"])
def test_unknown_modes_are_refused(text):
    with pytest.raises(AdaptError, match="sampled:M"):
        parse_pad_loss(text)
