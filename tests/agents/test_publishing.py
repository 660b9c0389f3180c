"""A trainer whose store is slow: adapters train on, every job has one outcome, and nothing is left of one that was given up."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_for_tests import adapt_job

from agents.policies import PolicyResolver
from agents.trainer import Trainer
from agents.worker import Failed, Finished, Outcome
from protocol.jobs import AdapterRef
from seal_runtime.engines.fake import FakeAdaptEngine
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import AdapterStore

DEADLINE_SECONDS = 30


class _SlowStore(AdapterStore):
    """Looks into no adapter until it is released."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.released = threading.Event(), threading.Event()

    def inspect(self, staging: Path, *, durable: bool = False) -> AdapterRef:
        self.begun.set()
        assert self.released.wait(DEADLINE_SECONDS)
        return super().inspect(staging, durable=durable)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[_SlowStore]:
    slow = _SlowStore(tmp_path / "adapters")
    yield slow
    slow.released.set()


@pytest.fixture
def trainer(store: _SlowStore) -> Iterator[Trainer]:
    made = Trainer(engine=FakeAdaptEngine(num_slots=2), policies=PolicyResolver(store), store=store)
    yield made
    store.released.set()
    made.close()


def _train_all(trainer: Trainer) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while trainer.must_step:
        assert not trainer.step()
        assert time.monotonic() < deadline


def _outcomes(trainer: Trainer, count: int) -> list[Outcome]:
    found: list[Outcome] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(found) < count:
        found += trainer.step()
        assert time.monotonic() < deadline, f"only {found}"
    return found


def test_training_goes_on_while_an_adapter_is_hashed_and_outcomes_come_once_in_order(trainer: Trainer, store: _SlowStore) -> None:
    for job_id in ("a", "b", "c"):
        trainer.begin(adapt_job(job_id, seed=ord(job_id)))
    _train_all(trainer)
    assert len(list(store.root.iterdir())) == 3
    store.released.set()
    found = _outcomes(trainer, 3)
    assert [outcome.job_id for outcome in found] == ["a", "b", "c"]
    assert all(isinstance(outcome, Finished) for outcome in found)
    assert not trainer.step()
    assert not list(store.root.glob(".staging-*"))


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_an_adapter_given_up_while_it_is_hashed_leaves_nothing(trainer: Trainer, store: _SlowStore, end: str) -> None:
    for job_id in ("a", "b"):
        trainer.begin(adapt_job(job_id, seed=ord(job_id)))
    _train_all(trainer)
    assert store.begun.wait(DEADLINE_SECONDS)
    threading.Timer(0.05, store.released.set).start()
    if end == "cancel":
        trainer.cancel("b")
        trainer.cancel("a")
        assert not trainer.step()
    else:
        threads = list(trainer._publisher._inspected._executor._threads)
        trainer.close()
        assert [thread.is_alive() for thread in threads] == [False]
    assert not list(store.root.iterdir())


def test_an_adapter_that_cannot_be_read_is_a_retryable_failure_of_its_job_alone(trainer: Trainer, store: _SlowStore) -> None:
    for job_id in ("a", "b"):
        trainer.begin(adapt_job(job_id, seed=ord(job_id)))
    _train_all(trainer)
    (trainer._requests["a"][1].output_dir / "adapter_model.safetensors").unlink()
    store.released.set()
    failed, finished = _outcomes(trainer, 2)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, StoreError)
    assert (failed.job_id, failed.retryable, type(finished)) == ("a", True, Finished)
    assert len(list(store.root.iterdir())) == 1
