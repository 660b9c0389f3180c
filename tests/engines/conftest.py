"""Requests for engine tests, and engines driven to the end. One torch thread, as the engines' exactness needs."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from protocol.jobs import LoraSpec, OptimSpec, TrainingSequence
from seal_runtime.engines.base import AdaptRequest, Policy

_TEXT = "the river town of Arden lies near a stone bridge where Mira Tock was mayor in nineteen ten and built mills"
_WORDS = _TEXT.split()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def adapt_request(tmp_path: Path) -> Callable[..., AdaptRequest]:
    """Make a request whose texts are derived from its seed."""

    def make(seed: int, **changes: Any) -> AdaptRequest:
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(2, 9, (changes.pop("num_sequences", 5),), generator=generator).tolist()
        picks = [torch.randint(0, len(_WORDS), (length,), generator=generator).tolist() for length in lengths]
        prompt = changes.pop("prompt", "")
        sequences = tuple(TrainingSequence(prompt=prompt, completion=" ".join(_WORDS[i] for i in pick), weight=1.0) for pick in picks)
        lora = {"rank": 4, "alpha": 8.0, "targets": ()} | changes.pop("lora", {})
        optim = {
            "learning_rate": 2e-3,
            "epochs": 2,
            "batch_size": 1,
            "schedule": "linear",
            "warmup_steps": 0,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "max_length": 256,
            "num_steps": 0,
            "pad_loss": "eos",
        } | changes.pop("optim", {})
        fields = {"request_id": f"job-{seed}", "policy": Policy(version=0, adapters=()), "sequences": sequences, "seed": seed}
        fields |= {"output_dir": tmp_path / f"adapter-{seed}"} | changes
        return AdaptRequest(lora=LoraSpec(**lora), optim=OptimSpec(**optim), **fields)

    return make


@pytest.fixture
def drain() -> Callable[..., dict[str, Any]]:
    """Submit requests and step the engine until all have come back, by request id."""

    def run(engine: Any, requests: Sequence[Any]) -> dict[str, Any]:
        for request in requests:
            engine.submit(request)
        results = {}
        deadline = time.monotonic() + 120
        while engine.num_pending:
            assert time.monotonic() < deadline, f"still pending: {engine.num_pending}"
            for result in engine.step():
                assert result.request_id not in results
                results[result.request_id] = result
        return results

    return run


def relative_delta_error(trained: dict[str, torch.Tensor], reference: Any) -> float:
    """Return |ours - theirs| / |theirs - initial| over all factors."""
    error = sum(float((trained[name] - theirs).pow(2).sum()) for name, theirs in reference.trained.items())
    moved = sum(float((theirs - reference.initial[name]).pow(2).sum()) for name, theirs in reference.trained.items())
    return (error / moved) ** 0.5


@pytest.fixture
def delta_error() -> Callable[[dict[str, torch.Tensor], Any], float]:
    """Give tests the relative weight-delta error."""
    return relative_delta_error
