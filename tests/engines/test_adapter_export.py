"""While adapters train, others are written and the next are drawn: with a disk as slow, as full and as interrupted as it can be."""

import math
import threading
import time

import pytest
import torch

from seal_runtime.engines import adapter_export
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.adapter_files import write_adapter
from seal_runtime.engines.base import AdaptOutput, RequestFailed
from seal_runtime.engines.initial_factors import InitialDraws, carve_factors, draw_factors
from seal_runtime.engines.model_loading import load_model
from seal_runtime.errors import StoreError
from seal_runtime.seeds import derive_seed
from seal_runtime.store.adapters import adapter_sha256

DEADLINE_SECONDS = 60


class _SlowDisk:
    """Writes nothing until it is released; `refuses` is the folder that it then has no room for."""

    def __init__(self):
        self.begun, self.released, self.refuses = threading.Event(), threading.Event(), ""

    def write(self, folder, adapter):
        self.begun.set()
        assert self.released.wait(DEADLINE_SECONDS)
        if folder.name == self.refuses:
            raise StoreError("cannot write the adapter: No space left on device")
        write_adapter(folder, adapter)


@pytest.fixture
def disk(monkeypatch):
    slow = _SlowDisk()
    monkeypatch.setattr(adapter_export, "write_adapter", slow.write)
    yield slow
    slow.released.set()


@pytest.fixture
def engine():
    made = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=2)
    yield made
    made.close()


def _step_until(engine, condition, found):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        found += engine.step()
        assert time.monotonic() < deadline, f"{engine.num_pending} pending"


def test_others_train_to_their_end_while_a_write_hangs(engine, disk, adapt_request, drain, tmp_path):
    requests = [adapt_request(seed) for seed in range(4)]
    for request in requests:
        engine.submit(request)
    found = []
    _step_until(engine, lambda: len(engine._exports) == 4, found)
    assert (found, engine.num_pending, engine._active) == ([], 4, [])
    assert not any(request.output_dir.exists() for request in requests)
    disk.released.set()
    _step_until(engine, lambda: engine.num_pending == 0, found)
    assert sorted(output.request_id for output in found) == ["job-0", "job-1", "job-2", "job-3"]
    lone = adapt_request(2, output_dir=tmp_path / "lone")
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=1), [lone])
    assert adapter_sha256(requests[2].output_dir) == adapter_sha256(lone.output_dir)


def test_training_waits_when_too_many_adapters_wait_for_the_disk(engine, disk, adapt_request):
    for seed in range(8):
        engine.submit(adapt_request(seed))
    found = []
    _step_until(engine, lambda: engine._exports.is_full, found)
    waiting, steps = len(engine._waiting), [slot.step for slot in engine._active]
    for _ in range(3):
        assert engine.step() == []
    assert len(engine._waiting) + len(engine._active) == waiting + len(steps)
    assert all(slot.step in (0, *steps) for slot in engine._active)
    assert len(engine._exports) <= 4 + 1
    disk.released.set()
    _step_until(engine, lambda: engine.num_pending == 0, found)
    assert sorted(output.request_id for output in found) == [f"job-{seed}" for seed in range(8)]


def test_a_disk_that_refuses_fails_its_job_alone_and_as_retryable(engine, disk, adapt_request, drain):
    disk.refuses = "adapter-1"
    disk.released.set()
    results = drain(engine, [adapt_request(seed) for seed in range(3)])
    failed = results.pop("job-1")
    assert isinstance(failed, RequestFailed)
    assert failed.retryable
    assert "No space left" in str(failed.error)
    assert all(isinstance(output, AdaptOutput) for output in results.values())


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_nothing_is_written_after_cancel_or_close_during_a_write(engine, disk, adapt_request, end):
    requests = [adapt_request(seed) for seed in range(2)]
    for request in requests:
        engine.submit(request)
    _step_until(engine, lambda: len(engine._exports) == 2, [])
    assert disk.begun.wait(DEADLINE_SECONDS)
    threading.Timer(0.05, disk.released.set).start()
    first = next(iter(engine._exports._writing._pieces))
    last = next(request for request in requests if request.request_id != first)
    if end == "cancel":
        engine.cancel(last.request_id)
        engine.cancel(first)
    else:
        engine.close()
    assert disk.released.is_set()  # the write under way was waited for
    assert not last.output_dir.exists()
    assert (engine.num_pending, list(engine.step())) == (0, [])


def test_factors_drawn_ahead_are_pefts_for_the_seed_and_draws_are_bounded(engine, adapt_request):
    layers = engine._packed.select(())
    requests = [adapt_request(seed) for seed in range(3)]
    draws = InitialDraws(max_ahead=2)
    for request in (*requests, requests[0]):
        draws.begin(request, layers)
    assert draws.is_full
    draws.forget("job-1")
    assert not draws.is_full
    for request in (requests[0], requests[2]):
        generator = torch.Generator().manual_seed(derive_seed(request.seed, "initialisation"))
        drawn = carve_factors(draws.take(request, layers), request.lora.rank, layers)
        assert len(drawn) == len(layers)
        for layer, (weight_a_RI, weight_b_RO) in zip(layers, drawn, strict=True):
            expected_RI = torch.empty(request.lora.rank, layer.in_features)
            torch.nn.init.kaiming_uniform_(expected_RI, a=math.sqrt(5), generator=generator)
            assert torch.equal(weight_a_RI, expected_RI)
            assert not weight_b_RO.any()
    draws.close()


def test_jobs_that_wait_are_drawn_for_while_others_train(engine, adapt_request, monkeypatch):
    drawn_by = {}

    def recording(seed, rank, layers):
        drawn_by[seed] = threading.current_thread()
        return draw_factors(seed, rank, layers)

    monkeypatch.setattr("seal_runtime.engines.initial_factors.draw_factors", recording)
    for seed in range(5):
        engine.submit(adapt_request(seed, optim={"epochs": 500}))
    engine.step()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(drawn_by) < 4:
        engine.step()
        assert time.monotonic() < deadline
    own = [seed for seed, thread in drawn_by.items() if thread is threading.current_thread()]
    assert (len(own), len(drawn_by)) == (2, 4)  # two slots, and as many jobs ahead
    engine.close()
