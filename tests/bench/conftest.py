"""A file of published self-edits in miniature, and jobs that need no training. One torch thread, as the engines' exactness needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from protocol.jobs import LoraSpec, OptimSpec
from seal_runtime.bench.edits import BenchEdit, edits_of_world
from seal_runtime.bench.jobs import BenchJob, make_jobs
from seal_runtime.bench.serial_arms import ArmRun
from seal_runtime.config.hyperparameters import LoraConfig, OptimConfig
from seal_runtime.engines.model_loading import load_model


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def edits_file(tmp_path: Path) -> Path:
    """Write four passages with two edits each."""
    rows = [
        {
            "title": f"Town {index}",
            "context": f"Town {index} lies by river {index}.",
            "questions": [{"question": "Which river?", "answer": f"river {index}"}],
            "completions": [f"1. Town {index} has a river.\n2. It is river {index}.", f"River {index} runs through it."],
        }
        for index in range(4)
    ]
    path = tmp_path / "edits.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def lora() -> LoraSpec:
    """A small adapter."""
    return LoraConfig(rank=4, alpha=8.0).spec()


@pytest.fixture
def optim() -> OptimSpec:
    """Two epochs, one sequence a step."""
    return OptimConfig(learning_rate=2e-3, epochs=2, max_length=128).spec()


@pytest.fixture
def jobs(lora: LoraSpec, optim: OptimSpec) -> list[BenchJob]:
    """Jobs of the built-in world for a tiny model."""
    return make_jobs(load_model("random:tiny-llama"), edits_of_world(6), lora, optim)


@pytest.fixture
def arm_run() -> Callable[..., ArmRun]:
    """Make what an arm could have measured."""

    def make(jobs: list[BenchJob], **changes: Any) -> ArmRun:
        fields: dict[str, Any] = {"train_seconds": 1.0, "answer_seconds": 0.0, "peak_memory_bytes": 1, "answers": {}} | changes
        return ArmRun(jobs=tuple(jobs), **fields)

    return make


@pytest.fixture
def one_edit() -> BenchEdit:
    """An edit of the built-in world."""
    return edits_of_world(1)[0]
