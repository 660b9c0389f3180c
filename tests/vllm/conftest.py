"""Real vLLM on CPU: `test_vllm_*.py` are collected only where it is installed (`make test-vllm`). An engine of each mode serves all."""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from protocol.jobs import LoraSpec, OptimSpec
from seal_runtime.engines.base import AdaptRequest, Policy
from seal_runtime.engines.factory import make_adapt_engine, make_generation_engine
from seal_runtime.engines.model_loading import LoadedModel, load_model
from seal_runtime.tasks.fictional import FictionalWorldTask

sys.path.insert(0, str(Path(__file__).parent))

if importlib.util.find_spec("vllm") is None:
    collect_ignore_glob = ["test_vllm_*.py"]

MODEL = "builtin:seal-tiny"
NUM_ADAPTERS = 20

Drain = Callable[[Any, Sequence[Any]], dict[str, Any]]


def drain_engine(engine: Any, requests: Sequence[Any]) -> dict[str, Any]:
    """Submit requests and step the engine until all have come back, by request id."""
    for request in requests:
        engine.submit(request)
    results: dict[str, Any] = {}
    deadline = time.monotonic() + 240
    while engine.num_pending:
        assert time.monotonic() < deadline, f"still pending: {engine.num_pending}"
        for result in engine.step():
            assert result.request_id not in results
            results[result.request_id] = result
    return results


@pytest.fixture(scope="session")
def drain() -> Drain:
    """Give tests the loop."""
    return drain_engine


@pytest.fixture(scope="session")
def instances() -> list[Any]:
    """Return as many contexts as there are adapters."""
    return list(FictionalWorldTask().instances("validation")[:NUM_ADAPTERS])


@pytest.fixture(scope="session")
def adapters(instances: list[Any], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return one adapter for each context, trained on it by the batched engine."""
    task, folder = FictionalWorldTask(), tmp_path_factory.mktemp("adapters")
    lora = LoraSpec(rank=16, alpha=32.0, targets=("gate_proj", "up_proj", "down_proj"))
    optim = OptimSpec(
        learning_rate=4e-3,
        epochs=2,
        batch_size=1,
        schedule="linear",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        max_length=160,
        num_steps=0,
        pad_loss="none",
    )
    requests = [
        AdaptRequest(
            request_id=str(index),
            policy=Policy(version=0, adapters=()),
            sequences=task.training_sequences(instance, task.scripted_edit(instance)),
            lora=lora,
            optim=optim,
            seed=index,
            output_dir=folder / str(index),
        )
        for index, instance in enumerate(instances)
    ]
    drain_engine(make_adapt_engine("batched", model=MODEL), requests)
    return [request.output_dir for request in requests]


@pytest.fixture(scope="session", params=["in-process", "async"])
def vllm_engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield an engine with fewer slots than there are adapters, stepped on this thread and then in a process of its own."""
    engine = make_generation_engine("vllm", model=MODEL, mode=request.param, engine_args={"max_loras": 4, "max_lora_rank": 16})
    yield engine
    folder = engine._adapters.folder
    assert folder.is_dir()
    engine.close()
    assert not folder.exists()


@pytest.fixture(scope="session")
def transformers_engine() -> Any:
    """Return the engine to compare with."""
    return make_generation_engine("transformers", model=MODEL)


@pytest.fixture(scope="session")
def plain_model() -> LoadedModel:
    """Return the model as transformers has it, to judge where two answers part."""
    return load_model(MODEL)
