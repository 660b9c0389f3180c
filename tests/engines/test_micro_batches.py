"""How an optimizer step is split: by the job and the cap alone, and with one normalisation."""

from itertools import pairwise

import pytest
import torch

from protocol.jobs import TrainingSequence
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AdaptOutput
from seal_runtime.engines.micro_batches import MicroBatches
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.training_sequences import encode_sequences
from seal_runtime.store.adapters import adapter_sha256

# One token a byte: 10, 30, 20 and 40 tokens, and 9, 29, 19 and 39 of them carry loss.
TEXTS = tuple(
    TrainingSequence(prompt="", completion=letter * count, weight=1.0) for letter, count in zip("abcd", (10, 30, 20, 40), strict=True)
)


def _steps(request, cap, count=1):
    encoded = encode_sequences(load_model("random:tiny-llama"), request.sequences, request.optim.max_length, request.optim.pad_loss)
    batches = MicroBatches(request, encoded, {})
    return [batches.next_step(cap) for _ in range(count)]


def _whole(adapt_request, seed=1):
    return adapt_request(seed, sequences=TEXTS, optim={"batch_size": 4, "pad_loss": "none", "epochs": 3})


@pytest.mark.parametrize("cap", [40, 50, 60, 100, 1000])
def test_parts_fill_the_cap_in_the_order_of_the_data(cap, adapt_request):
    ((whole,),) = _steps(_whole(adapt_request), 1000)
    (parts,) = _steps(_whole(adapt_request), cap)
    lengths = [group.lengths for group, _ in parts]
    assert [length for part in lengths for length in part] == whole[0].lengths
    assert all(sum(part) <= cap for part in lengths)
    assert all(sum(before) + after[0] > cap for before, after in pairwise(lengths))
    assert [group.accumulate for group, _ in parts] == [False, *[True] * (len(parts) - 1)]


def test_all_parts_share_one_normalisation(adapt_request):
    (parts,) = _steps(_whole(adapt_request), 40)
    shares = torch.cat([targets.shares_N for _, targets in parts])
    assert len(shares) == 9 + 29 + 19 + 39
    assert torch.equal(shares, torch.full((96,), 1 / 96))


def test_a_single_sequence_is_laid_out_once_for_all_epochs(adapt_request):
    request = adapt_request(1, sequences=TEXTS[:1], optim={"pad_loss": "none"})
    (first,), (second,) = _steps(request, 100, count=2)
    assert first[0] is second[0]
    assert first[0].lengths == [10]
    assert first[1].rows_N.tolist() == list(range(9))


def test_drawn_padding_is_drawn_anew_for_each_step(adapt_request):
    request = adapt_request(1, sequences=TEXTS[:1], optim={"pad_loss": "sampled:3", "max_length": 200})
    (first,), (second,) = _steps(request, 100, count=2)
    assert first[0].lengths == [13]
    assert first[0].positions_T[:10].tolist() == list(range(10))
    assert first[0].positions_T[10:].tolist() != second[0].positions_T[10:].tolist()
    # 190 positions predict an end token; the last text token's is one of them, and three draws stand for the other 189
    assert first[1].shares_N[10:].tolist() == pytest.approx([189 / 3 / 199] * 3)


def test_a_split_step_is_the_same_whoever_else_is_trained(adapt_request, drain, tmp_path):
    def trained(num_slots, name):
        engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=num_slots, max_tokens_per_step=64)
        requests = [
            adapt_request(seed, sequences=TEXTS, optim={"batch_size": 4}, output_dir=tmp_path / f"{name}-{seed}") for seed in range(3)
        ]
        assert all(isinstance(output, AdaptOutput) for output in drain(engine, requests).values())
        return [adapter_sha256(request.output_dir) for request in requests]

    assert trained(1, "alone") == trained(3, "together")
