"""Recomputing blocks changes no bit on CPU. What it saves: test_memory_estimate.py."""

import pytest
import torch

from seal_runtime.engines.activation_checkpointing import checkpoint_blocks
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AdaptOutput
from seal_runtime.engines.model_loading import load_model
from seal_runtime.errors import ConfigError
from seal_runtime.store.adapters import adapter_sha256

JOBS = ({"num_sequences": 4}, {"num_sequences": 3, "lora": {"targets": ("all-linear",), "rank": 5}, "optim": {"batch_size": 3}})


def _hashes(engine, adapt_request, drain, folder):
    requests = [adapt_request(seed, **change, output_dir=folder / str(seed)) for seed, change in enumerate(JOBS)]
    results = drain(engine, requests)
    assert all(isinstance(result, AdaptOutput) for result in results.values()), results
    return [(adapter_sha256(request.output_dir), results[request.request_id].final_loss) for request in requests]


@pytest.mark.parametrize("mode", ["exact", "grouped"])
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2", "tiny-mistral", "tiny-qwen2"])
def test_results_are_bit_identical(family, mode, adapt_request, drain, tmp_path):
    kept, recomputed = (
        _hashes(
            BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=2, mode=mode, activation_checkpointing=checkpointing),
            adapt_request,
            drain,
            tmp_path / str(checkpointing),
        )
        for checkpointing in (False, True)
    )
    assert kept == recomputed


def test_a_bfloat16_base_and_the_packed_path_are_bit_identical_too(adapt_request, drain, tmp_path):
    for dtype, mode in (("bfloat16", "grouped"), ("float32", "packed")):
        kept, recomputed = (
            _hashes(
                BatchedAdaptEngine(load_model("random:tiny-qwen2", dtype), num_slots=2, mode=mode, activation_checkpointing=checkpointing),
                adapt_request,
                drain,
                tmp_path / f"{dtype}-{checkpointing}",
            )
            for checkpointing in (False, True)
        )
        assert kept == recomputed


def test_a_model_without_known_blocks_is_refused():
    model = load_model("random:tiny-llama").model
    model.model.layers = torch.nn.ModuleList()
    with pytest.raises(ConfigError, match="activation_checkpointing to false"):
        checkpoint_blocks(model, torch.zeros((), requires_grad=True))
