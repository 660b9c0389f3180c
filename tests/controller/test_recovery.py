"""What a new controller finds and repairs before it goes on: lost adapters, lost policies, rounds that failed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_world import World
from socket_agents import write_adapter

from protocol.jobs import AdapterRef, AdaptResult
from protocol.messages import BlobChunk
from protocol.transfer import CONFIG_FILE, adapter_sha256, read_chunk
from seal_runtime.controller.blobs import BlobServer
from seal_runtime.controller.commands import KeepPolicy
from seal_runtime.controller.policy_files import keep_policy
from seal_runtime.controller.recovery import committed_records, open_history
from seal_runtime.errors import StoreError
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.ledger.records import PolicyRecord, ResultRecord, SetAsideRecord
from seal_runtime.store.adapters import TENSOR_FILE, AdapterStore
from seal_runtime.store.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    folder = RunDirectory(tmp_path / "run")
    folder.create()
    return folder


@pytest.fixture
def store(run: RunDirectory) -> AdapterStore:
    return AdapterStore(run.adapters)


def published(store: AdapterStore, name: str) -> AdapterRef:
    staging = store.staging_dir()
    write_adapter(staging, name, 8)
    return store.publish(staging)


def unsettled_adapts(make_world: Callable[..., World], store: AdapterStore) -> list[ResultRecord]:
    """Return two committed inner loops whose adapters really lie in the store, not graded yet."""
    world = make_world()
    trainer = world.join("trainer", "trainer-0", capacity=2)
    honest = world.answer

    def answer(agent: Any, job: Any) -> AdaptResult:
        result = honest(agent, job)
        assert isinstance(result, AdaptResult)
        object.__setattr__(result, "adapter", published(store, job.job_id))
        return result

    world.answer = answer
    for job_id in list(trainer.jobs):
        world.work(trainer, job_id)
    world.deliver(trainer)
    return world.results("adapt")


def open_again(run: RunDirectory, store: AdapterStore) -> list[str]:
    """Open the ledger as a new controller does; return the ids of the records that it goes on from."""
    ledger = Ledger(run.ledger)
    open_history(ledger, run, store, run_id="toy", now=50.0)
    ledger.close()
    with LedgerReader(run.ledger) as reader:
        return [row.job_id for row in committed_records(reader)]


def test_an_adapter_that_a_crash_damaged_is_trained_again_unless_it_was_graded(
    run: RunDirectory, store: AdapterStore, make_world: Callable[..., World]
) -> None:
    first, second = unsettled_adapts(make_world, store)
    ledger = Ledger(run.ledger)
    ledger.commit([first, second], now=1.0)
    ledger.close()
    assert open_again(run, store) == [first.key.job_id, second.key.job_id]
    assert isinstance(first.result, AdaptResult)
    (store.path(first.result.adapter.sha256) / TENSOR_FILE).write_bytes(b"")
    assert open_again(run, store) == [second.key.job_id]
    assert not store.has(first.result.adapter.sha256)
    ledger = Ledger(run.ledger)
    ledger.commit([SetAsideRecord(job_id=second.key.job_id.replace("adapt", "evaluate"), reason="r")], now=2.0)
    ledger.close()
    assert isinstance(second.result, AdaptResult)
    store.remove(second.result.adapter.sha256)
    assert open_again(run, store)[0] == second.key.job_id


def test_jobs_set_aside_in_a_round_that_failed_get_another_chance(run: RunDirectory, store: AdapterStore) -> None:
    ids = ["round-1/a/e0/r0/adapt", "heldout-v0/a/e0/r0/adapt"]
    ledger = Ledger(run.ledger)
    ledger.commit([SetAsideRecord(job_id=job_id, reason="r") for job_id in ids], now=1.0, meta={"phase": "stopped"})
    ledger.close()
    assert open_again(run, store) == ids
    ledger = Ledger(run.ledger)
    ledger.commit((), now=1.0, meta={"phase": "failed"})
    ledger.close()
    assert open_again(run, store) == ids[1:]


def test_each_controller_counts_itself_and_keeps_the_runs_age(run: RunDirectory, store: AdapterStore) -> None:
    ledger = Ledger(run.ledger)
    first = open_history(ledger, run, store, run_id="toy", now=50.0)
    assert (first.epoch, first.started_at, first.active_seconds) == (0, 50.0, 0.0)
    ledger.commit((), now=60.0, meta={"active_seconds": "10.5", "phase": "stopped"})
    again = open_history(ledger, run, store, run_id="toy", now=90.0)
    assert (again.epoch, again.started_at, again.active_seconds) == (1, 50.0, 10.5)
    assert ledger.meta()["phase"] == "running"
    ledger.commit((), now=99.0, meta={"phase": "done"})
    open_history(ledger, run, store, run_id="toy", now=100.0)
    assert ledger.meta()["phase"] == "done"
    ledger.close()


def keep(store: AdapterStore, version: int, adapter: AdapterRef | None, chain: tuple[AdapterRef, ...]) -> KeepPolicy:
    return KeepPolicy(version=version, parent=version - 1, round=version, adapter=adapter, chain=chain)


def test_a_policy_is_written_whole_once_and_put_back_into_the_store_when_it_is_lost(run: RunDirectory, store: AdapterStore) -> None:
    adapter = published(store, "policy")
    keep_policy(keep(store, 0, None, ()), run, store)
    keep_policy(keep(store, 1, adapter, (adapter,)), run, store)
    assert json.loads((run.policy(0) / "version.json").read_text())["adapter_sha256"] is None
    written = (run.policy(1) / "version.json").stat().st_mtime_ns
    keep_policy(keep(store, 1, adapter, (adapter,)), run, store)
    assert (run.policy(1) / "version.json").stat().st_mtime_ns == written
    assert sorted(path.name for path in run.policies.iterdir()) == ["v0", "v1"]
    ledger = Ledger(run.ledger)
    record = PolicyRecord(version=1, parent=0, round=1, adapter_sha256=adapter.sha256, rank=8, num_bytes=adapter.num_bytes)
    ledger.commit([record], now=1.0)
    ledger.close()
    (store.path(adapter.sha256) / TENSOR_FILE).write_bytes(b"damaged")
    open_again(run, store)
    assert store.has(adapter.sha256)
    store.remove(adapter.sha256)
    (run.policy(1) / TENSOR_FILE).unlink()
    with pytest.raises(StoreError, match="policy version 1 is lost"):
        open_again(run, store)


def test_a_policy_that_cannot_be_written_is_a_clear_error_and_leaves_nothing(run: RunDirectory, store: AdapterStore) -> None:
    missing = AdapterRef(sha256="a" * 64, rank=8, num_bytes=1)
    with pytest.raises(StoreError, match="cannot write policy version 1"):
        keep_policy(keep(store, 1, missing, (missing,)), run, store)
    assert list(run.policies.iterdir()) == []


def test_unfinished_uploads_are_thrown_away(store: AdapterStore, tmp_path: Path) -> None:
    write_adapter(tmp_path / "mine", "mine", 8)
    sha256 = adapter_sha256(tmp_path / "mine")
    server = BlobServer(store)
    server.put(read_chunk(tmp_path / "mine", sha256, CONFIG_FILE, 0, 3))
    assert len(list(store.root.iterdir())) == 1
    evil = BlobChunk(sha256=sha256, file="../evil", offset=0, file_size=1, crc32=0, data=b"x")
    assert "file name" in getattr(server.put(evil), "reason", "")
    server.put(read_chunk(tmp_path / "mine", sha256, CONFIG_FILE, 0, 3))
    server.close()
    assert list(store.root.iterdir()) == []
