"""The estimate of `capacity` against the bytes that the tensors of a step really take."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from protocol.jobs import TrainingSequence
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.capacity import adapter_bytes
from seal_runtime.engines.device_capacity import shape_of
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.random_models import ARCHITECTURES

NUM_LAYERS, NUM_TOKENS, CHUNK_TOKENS, RANK = 8, 832, 64, 8


class _PeakBytes(TorchDispatchMode):
    """Adds up the bytes of the storages that operations make, as long as they live."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak, self._known = 0, 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage):
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self.alive += storage.nbytes()
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key, size):
        self._known.discard(key)
        self.alive -= size


def _deep(family):
    config = ARCHITECTURES[family]()
    config.num_hidden_layers = NUM_LAYERS
    if hasattr(config, "layer_types"):
        config.layer_types = ["full_attention"] * NUM_LAYERS
    return config


def _measure(loaded, mode, checkpointing, adapt_request):
    """Return the bytes of one step of 832 tokens in four texts, and those estimated for it; the state of the adapter existed before."""
    engine = BatchedAdaptEngine(
        loaded,
        num_slots=1,
        mode=mode,
        activation_checkpointing=checkpointing,
        loss_chunk_tokens=CHUNK_TOKENS,
        max_tokens_per_step=NUM_TOKENS,
    )
    sequences = tuple(TrainingSequence(prompt="", completion=letter * 208, weight=1.0) for letter in "abcd")
    optim = {"batch_size": 4, "num_steps": 1, "pad_loss": "none"}
    engine.submit(adapt_request(1, sequences=sequences, lora={"targets": ("all-linear",), "rank": RANK}, optim=optim))
    engine._admit()
    with _PeakBytes() as tracked:
        engine._optimizer_step()
    weights = RANK * sum(layer.in_features + layer.out_features for layer in engine._packed.layers)
    shape = shape_of(loaded)
    copies = adapter_bytes(weights, shape.bytes_a_number if mode == "packed" else 0) - adapter_bytes(weights, 0)
    return tracked.peak, copies + shape.loss_bytes(CHUNK_TOKENS) + NUM_TOKENS * shape.token_bytes(checkpointing)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("dtype", "mode"), [("float32", "exact"), ("bfloat16", "packed")])
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2", "tiny-qwen2"])
def test_a_step_takes_what_was_estimated_and_not_more(family, dtype, mode, checkpointing, adapt_request, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "deep", lambda: _deep(family))
    measured, estimated = _measure(load_model("random:deep", dtype), mode, checkpointing, adapt_request)
    assert 0.6 * estimated < measured <= estimated


def test_checkpointing_keeps_the_inputs_of_blocks_and_one_block(adapt_request, monkeypatch):
    # numbers a token: 8 * 1,536 + 896 against 8 * 64 + 1,536 + 896
    monkeypatch.setitem(ARCHITECTURES, "deep", lambda: _deep("tiny-llama"))
    kept, recomputed = (_measure(load_model("random:deep"), "exact", checkpointing, adapt_request)[0] for checkpointing in (False, True))
    assert recomputed < 0.3 * kept
