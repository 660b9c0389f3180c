"""A slow role slows the roles before it and not the memory: what waits is bounded, and the bounds never stop a run."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from socket_agents import await_connection
from threaded_controller import ThreadedController, chosen, start_agents, status_of, wait_for

from protocol.jobs import AdaptJob, EvaluateJob
from protocol.messages import BlobChunk
from seal_runtime.config.loading import dump_topology
from seal_runtime.controller import blobs
from seal_runtime.controller.blobs import BlobServer
from seal_runtime.store.adapters import AdapterStore

MakeWorld = Callable[..., Any]
TIGHT = {"max_waiting_adapters": 1, "max_waiting_edits": 1}


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def work_until_idle(world: Any, role: str, after: Callable[[], None] = lambda: None) -> None:
    """Let the agents of a role do one job at a time until they hold none."""
    busy = True
    while busy:
        busy = False
        for agent in [agent for agent in world.agents.values() if agent.role == role and agent.jobs]:
            world.work(agent, next(iter(agent.jobs)))
            world.deliver(agent)
            after()
            busy = True


def waiting(world: Any, kind: str) -> int:
    return world.state._dispatcher._backlog.num_waiting(kind)


def test_without_evaluators_trainers_stop_at_the_bound(make_world: MakeWorld, calm_world: Any) -> None:
    world = make_world(limits={"max_waiting_adapters": 5})
    world.join("proposer", "proposer-0", capacity=100)
    for name in ("trainer-0", "trainer-1"):
        world.join("trainer", name, capacity=2)
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(world.adapters))

    work_until_idle(world, "proposer")
    work_until_idle(world, "trainer", look)
    assert 5 <= most <= 5 + 2 * 2 - 1
    assert waiting(world, "adapter") == len(world.adapters) == most
    assert world.state.status(world.now).jobs_waiting["trainer"] > 0
    world.join("evaluator", "evaluator-0", capacity=1)
    world.join("critic", "critic-0", capacity=1)
    assert world.run_calmly().phase == "done"
    assert world.chosen() == calm_world.chosen()


def test_without_trainers_proposers_stop_at_the_bound(make_world: MakeWorld) -> None:
    world = make_world(limits={"max_waiting_edits": 4}, algorithm={"contexts_per_round": 6, "edits_per_context": 3})
    world.join("proposer", "proposer-0", capacity=2)
    work_until_idle(world, "proposer")
    # Five of six contexts would have fifteen edits: one context in hand when the fourth edit came, of three edits.
    assert 4 <= waiting(world, "edit") <= 4 + 2 * 3
    assert world.state.status(world.now).jobs_waiting["proposer"] > 0
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert (waiting(world, "edit"), waiting(world, "adapter")) == (0, 0)


def test_controls_that_wait_for_a_trainer_do_not_hold_proposers_back(make_world: MakeWorld) -> None:
    world = make_world(limits={"max_waiting_edits": 1}, evaluation={"num_contexts": 4})
    world.join("proposer", "proposer-0", capacity=1)
    assert world.state.status(world.now).jobs_waiting["trainer"] == 8, "passage-only and scripted, four contexts each"
    assert len(world.agents["proposer-0"].jobs) == 1


def test_the_policy_update_is_never_held_back(make_world: MakeWorld) -> None:
    world = make_world(limits={"max_waiting_adapters": 1}, algorithm={"contexts_per_round": 1})
    world.join("proposer", "proposer-0", capacity=1)
    trainer = world.join("trainer", "trainer-0", capacity=1)
    evaluator = world.join("evaluator", "evaluator-0", capacity=9)
    for _ in range(200):
        for agent in world.agents.values():
            for job_id in [job_id for job_id in agent.jobs if agent is not evaluator or job_id.startswith("round-1/")]:
                world.work(agent, job_id)
            world.deliver(agent)
    # The evaluator's hands are full of held-out work, one more adapter waits, and now the round is credited.
    assert (len(evaluator.jobs), waiting(world, "adapter"), len(trainer.jobs)) == (9, 1, 0)
    world.join("critic", "critic-0", capacity=1)
    for job_id in list(world.agents["critic-0"].jobs):
        world.work(world.agents["critic-0"], job_id)
    world.deliver(world.agents["critic-0"])
    assert list(trainer.jobs) == ["round-1/policy"]
    assert world.run_calmly().phase == "done"


@pytest.mark.parametrize("lag", [0, 1])
def test_with_bounds_of_one_the_run_is_the_same(make_world: MakeWorld, lag: int) -> None:
    worlds = []
    for limits in ({}, TIGHT):
        world = make_world(limits=limits, algorithm={"max_policy_lag": lag})
        world.join_all(trainers=3)
        assert world.run_calmly().phase == "done"
        worlds.append({record.key.job_id: (record.job, record.result) for record in world.results()})
    assert worlds[0] == worlds[1]


def test_a_slow_evaluator_slows_the_trainers_over_real_sockets(tmp_path: Path, make_topology: MakeWorld) -> None:
    """The evaluator answers one job at a time, each after a look at the store."""
    topology = make_topology(task={"name": "fictional"}, bus={"heartbeat_seconds": 0.2}, limits=TIGHT)
    (tmp_path / "topology.resolved.yaml").write_text(dump_topology(topology))
    gate = threading.Event()
    counts: list[int] = []

    def before(job: object) -> None:
        if isinstance(job, EvaluateJob):
            wait_for(gate.is_set, 100.0)
            counts.append(sum(len(path.name) == 64 for path in (tmp_path / "adapters").iterdir()))

    controller = ThreadedController(tmp_path)
    agents = start_agents(tmp_path, before)
    await_connection(tmp_path / "connection.json")
    # Nothing is graded yet: trainers fill the evaluator's hands and the bound, and stop.
    wait_for(lambda: stands_still(status_of(tmp_path)))
    status = status_of(tmp_path)
    assert status.jobs_waiting["trainer"] > 0
    gate.set()
    assert controller.wait().phase == "done"
    for agent in agents:
        agent.join()
    # Four in the evaluator's hands, one waiting, two trainers with four each; two policies.
    assert max(counts) <= 4 + 1 + 2 * 4 + 2
    assert set(chosen(tmp_path)) == {"round-1", "round-2"}


def stands_still(status: Any) -> bool:
    held = {agent.role: len(agent.job_ids) for agent in status.agents if agent.role != "trainer"}
    trainers = sum(len(agent.job_ids) for agent in status.agents if agent.role == "trainer")
    return held.get("evaluator") == 4 and held.get("proposer") == 0 and trainers == 0 and status.jobs_waiting["evaluator"] >= 1


def test_an_upload_beyond_the_limit_waits_unanswered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "MAX_UPLOADS", 2)
    server = BlobServer(AdapterStore(tmp_path))

    def chunk(name: str) -> BlobChunk:
        return BlobChunk(sha256=name * 64, file="adapter_config.json", offset=0, file_size=2, crc32=0, data=b"")

    assert server.put(chunk("a")) is not None
    assert server.put(chunk("b")) is not None
    assert server.put(chunk("c")) is None
    assert server.put(chunk("a")) is not None
    assert {path.name[:9] for path in tmp_path.iterdir()} == {".upload-a", ".upload-b"}


def test_waiting_jobs_are_counted_through_deaths_and_failures(make_world: MakeWorld) -> None:
    world = make_world(limits={"max_waiting_adapters": 3})
    world.join("proposer", "proposer-0")
    trainer = world.join("trainer", "trainer-0", capacity=1)
    work_until_idle(world, "trainer")
    assert waiting(world, "adapter") == 3
    evaluator = world.join("evaluator", "evaluator-0", capacity=2)
    held = [job_id for job_id in evaluator.jobs if evaluator.jobs[job_id].job.adapter is not None]
    assert waiting(world, "adapter") + len(held) >= 3
    world.kill(evaluator)
    assert waiting(world, "adapter") >= 3
    other = world.join("evaluator", "evaluator-1", capacity=1)
    for _ in range(60):
        for job_id in list(other.jobs):
            world.fail(other, other.jobs.pop(job_id), "EvaluateError", "asked to fail", retryable=False)
        world.deliver(other)
        for job_id in list(trainer.jobs):
            assert isinstance(trainer.jobs[job_id].job, AdaptJob)
            world.work(trainer, job_id)
        world.deliver(trainer)
    assert waiting(world, "adapter") <= 3 + 1
    assert len(world.adapters) <= 3 + 2


def test_a_trainer_goes_on_at_once_when_an_evaluator_takes_its_adapter(make_world: MakeWorld) -> None:
    """The evaluator is served before the trainer, so that one event is enough; waiting for the next costs the trainer a tick."""
    world = make_world(limits={"max_waiting_adapters": 1})
    world.join("proposer", "proposer-0")
    world.join("evaluator", "evaluator-0", capacity=50)
    trainer = world.join("trainer", "trainer-0", capacity=1)
    for _ in range(4):
        (job_id,) = trainer.jobs
        world.work(trainer, job_id)
        world.deliver(trainer)
    assert len(trainer.jobs) == 1


def test_texts_of_a_credited_round_leave_the_controllers_memory(make_world: MakeWorld) -> None:
    world = make_world()
    world.join_all()
    assert world.run_calmly().phase == "done"
    for progress in world.state._workflow.studies.values():
        assert all(edit.generated is None for context in progress.contexts.values() for edit in context.edits)
