"""Adapters that many results are built on, lost in a power cut: they are trained again, and what was built on them is done again."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_world import World
from socket_agents import write_adapter
from test_held_out_chaos import new_world
from test_joint_study import with_edits

from protocol.jobs import AdaptResult
from seal_runtime.controller.lost_adapters import forget_built_on_lost
from seal_runtime.controller.recovery import committed_records, open_history
from seal_runtime.ledger import Ledger, LedgerReader
from seal_runtime.ledger.records import ResultRecord
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.store.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    folder = RunDirectory(tmp_path / "run")
    folder.create()
    return folder


def half_done(store: AdapterStore, until: str, *, rounds: int = 0) -> World:
    """Return a world that stops when the result of `until` is committed; its adapters lie in the store."""
    world = new_world(run={"rounds": rounds})

    def answer(agent: Any, job: Any) -> Any:
        result = with_edits(job, world, "good")
        if isinstance(result, AdaptResult):
            staging = store.staging_dir()
            write_adapter(staging, job.job_id, 8)
            object.__setattr__(result, "adapter", store.publish(staging))
        return result

    world.answer = answer
    world.join_all()
    while not any(record.key.job_id == until for record in world.results()):
        for agent in list(world.agents.values()):
            for job_id in list(agent.jobs)[:1]:
                world.work(agent, job_id)
            world.deliver(agent)
    return world


def reopened(run: RunDirectory, store: AdapterStore, world: World) -> set[str]:
    """Commit what the world has, open it as a new controller does, and return the results that it goes on from."""
    ledger = Ledger(run.ledger)
    ledger.commit([record for record in world.records if isinstance(record, ResultRecord)], now=1.0)
    open_history(ledger, run, store, run_id="toy", now=50.0)
    with LedgerReader(run.ledger) as reader:
        forget_built_on_lost(ledger, reader, store, world.topology, world.task)
    ledger.close()
    with LedgerReader(run.ledger) as reader:
        return {row.job_id for row in committed_records(reader)}


def adapter_of(world: World, job_id: str) -> str:
    (record,) = [record for record in world.results("adapt") if record.key.job_id == job_id]
    assert isinstance(record.result, AdaptResult)
    return record.result.adapter.sha256


def first_sequence(world: World) -> list[str]:
    return [instance.instance_id for instance in world.state.plan.study("continual-v0").sequences()[0]]


def test_a_lost_link_of_a_chain_is_trained_again_with_everything_after_it(run: RunDirectory) -> None:
    store = AdapterStore(run.adapters)
    first, second = first_sequence(new_world(run={"rounds": 0}))
    world = half_done(store, f"continual-v0/{second}/e0/r2/adapt")
    before = {record.key.job_id for record in world.results()}
    shutil.rmtree(store.path(adapter_of(world, f"continual-v0/{first}/e0/r1/adapt")))
    gone = before - reopened(run, store, world)
    assert {f"continual-v0/{first}/e0/r1/adapt", f"continual-v0/{second}/propose", f"continual-v0/{second}/e0/r2/adapt"} <= gone
    assert all(job_id.startswith((f"continual-v0/{first}/", f"continual-v0/{second}/")) and "/r0/" not in job_id for job_id in gone)
    assert f"continual-v0/{first}/propose" not in gone


def test_a_lost_adapter_of_all_contexts_is_trained_again_and_its_replicate_examined_again(run: RunDirectory) -> None:
    store = AdapterStore(run.adapters)
    world = half_done(store, "cpt-v0/test-0/e0/r1/evaluate")
    before = {record.key.job_id for record in world.results()}
    shutil.rmtree(store.path(adapter_of(world, "cpt-v0/r1/adapt")))
    gone = before - reopened(run, store, world)
    assert {"cpt-v0/r1/adapt", "cpt-v0/test-0/e0/r1/evaluate"} <= gone
    assert all("/r1/" in job_id and job_id.startswith("cpt-v0/") for job_id in gone)


def test_what_is_over_needs_its_adapters_no_more(run: RunDirectory) -> None:
    world = new_world(run={"rounds": 0})
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert reopened(run, AdapterStore(run.adapters), world) == {record.key.job_id for record in world.results()}
