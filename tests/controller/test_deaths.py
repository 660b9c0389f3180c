"""Leases end, agents die, fall silent or never come: the jobs go on elsewhere, and no job is blamed without proof."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.messages import Cancel, Reject, Shutdown
from seal_runtime.controller.commands import Commit, SendTo
from seal_runtime.controller.events import AgentLeft, JobSucceeded, StopRequested, StorageFailed, Tick
from seal_runtime.ledger.records import FailureRecord, SetAsideRecord

MakeWorld = Callable[..., Any]


def failures(world: Any) -> list[FailureRecord]:
    return [c.record for c in world.commands if isinstance(c, Commit) and isinstance(c.record, FailureRecord)]


def set_aside(world: Any) -> list[SetAsideRecord]:
    return [record for record in world.records if isinstance(record, SetAsideRecord)]


def test_a_late_reply_changes_nothing_and_is_acknowledged(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("trainer", "trainer-0", capacity=1)
    job_id, old = next(iter(agent.jobs.items()))
    world.work(agent, job_id)
    (late,) = agent.outbox.values()
    world.pass_time(40.0)  # the heartbeats do not mention the job any more: the lease is lost and given again
    assert agent.jobs[job_id].attempt == old.attempt + 1
    before = len(world.records)
    world.feed(late)
    assert len(world.records) == before
    assert agent.outbox == {}
    assert len(world.logged("late_reply")) == 1


def test_a_reply_under_a_foreign_name_or_attempt_is_not_heard(make_world: MakeWorld) -> None:
    world = make_world()
    agent, other = world.join("trainer", "trainer-0"), world.join("trainer", "trainer-1")
    job_id, assign = next(iter(agent.jobs.items()))
    world.work(agent, job_id)
    (event,) = agent.outbox.values()
    assert isinstance(event, JobSucceeded)
    before = len(world.records)
    for forged in (
        replace(event, agent=other.name),
        replace(event, attempt=assign.attempt + 1),
        replace(event, job_id="round-9/x/propose"),
    ):
        world.feed(forged)
    assert len(world.records) == before
    world.feed(event)
    assert len(world.records) == before + 1


def test_a_job_that_takes_too_long_is_cancelled_and_given_to_another(make_world: MakeWorld) -> None:
    world = make_world(limits={"job_timeout_seconds": 60.0})
    slow = world.join("trainer", "trainer-0", capacity=1)
    (job_id,) = slow.jobs
    world.pass_time(55.0)
    quick = world.join("trainer", "trainer-1", capacity=20)
    world.pass_time(10.0)
    assert [c.message.job_id for c in world.commands if isinstance(c, SendTo) and isinstance(c.message, Cancel)] == [job_id]
    assert failures(world)[0].error_type == "JobTimeout"
    assert job_id in quick.jobs


def test_a_silent_agent_is_given_up_and_its_jobs_go_on_elsewhere(make_world: MakeWorld) -> None:
    world = make_world()
    silent = world.join("trainer", "trainer-0", capacity=3)
    held = set(silent.jobs)
    silent.alive = False
    world.pass_time(16.0)
    assert world.state.agents.get("trainer-0") is None
    assert not any(isinstance(c, SendTo) and isinstance(c.message, Shutdown | Reject) for c in world.commands), "it may come back"
    assert any("trainer-0 (trainer) is gone (silent for" in problem for problem in world.state.status(world.now).problems)
    other = world.join("trainer", "trainer-1", capacity=50)
    assert held <= set(other.jobs)
    assert failures(world) == []


def test_a_quiet_agent_gets_no_new_jobs_until_it_is_heard_again(make_world: MakeWorld) -> None:
    world = make_world()
    quiet, lively = world.join("proposer", "proposer-0", capacity=1), world.join("proposer", "proposer-1", capacity=1)
    quiet.alive = False
    world.pass_time(5.0)
    for agent in (quiet, lively):
        world.work(agent, next(iter(agent.jobs)))
    quiet.alive = True
    (late,) = quiet.outbox.values()
    world.feed(late)
    assert quiet.jobs == {}, "an answer that was under way is taken, but it proves no life now"
    world.deliver(lively)
    assert len(lively.jobs) == 1
    world.pass_time(1.0)
    assert len(quiet.jobs) == 1


def test_the_controllers_own_sleep_is_not_held_against_the_agents(make_world: MakeWorld) -> None:
    world = make_world()
    world.join("trainer", "trainer-0")
    world.pass_time(2.0)
    world.now += 500.0
    world.feed(Tick())
    assert world.state.agents.get("trainer-0") is not None


def test_a_poison_job_is_found_by_running_it_alone(make_world: MakeWorld) -> None:
    world = make_world()
    world.join("proposer", "proposer-0")
    world.join("evaluator", "evaluator-0")
    world.join("critic", "critic-0")
    poison = "passage-only/test-0/e0/r0/adapt"
    deaths = 0
    for number in range(1000):
        if world.finish is not None:
            break
        trainer = next((agent for agent in world.agents.values() if agent.role == "trainer" and agent.alive), None)
        trainer = trainer or world.join("trainer", f"trainer-{number}")
        for agent in list(world.agents.values()):
            for job_id in list(agent.jobs):
                if job_id == poison:
                    if deaths == 2:
                        assert list(agent.jobs) == [poison], "a suspect runs alone"
                    deaths += 1
                    world.kill(trainer)
                    break
                world.work(agent, job_id)
            if agent.alive:
                world.deliver(agent)
        world.pass_time(1.0)
    assert world.finish is not None
    assert world.finish.phase == "done"
    assert deaths == 3
    assert [record.job_id for record in set_aside(world)] == [poison]
    assert "poison: 3 agents died with it" in set_aside(world)[0].reason


def test_a_job_outlives_as_many_agents_as_the_topology_allows(make_world: MakeWorld) -> None:
    world = make_world(limits={"max_deaths": 6})
    for name in ("proposer", "evaluator", "critic"):
        world.join(name, f"{name}-0")
    for number in range(5):
        trainer = world.join("trainer", f"trainer-{number}")
        assert trainer.jobs
        world.kill(trainer)
    world.join("trainer", "trainer-9")
    assert world.run_calmly().phase == "done"
    assert set_aside(world) == []


def test_leaving_politely_is_not_held_against_the_jobs(make_world: MakeWorld) -> None:
    world = make_world()
    for number in range(6):
        agent = world.join("trainer", f"trainer-{number}", capacity=50)
        assert len(agent.jobs) == 6
        world.feed(AgentLeft(agent=agent.name, reason="drained", died=False))
    assert set_aside(world) == []
    assert failures(world) == []


def test_a_role_without_agents_ends_the_run_after_its_deadline(make_world: MakeWorld) -> None:
    world = make_world(limits={"no_agent_timeout_seconds": 100.0})
    world.join("proposer", "proposer-0")
    world.pass_time(90.0)
    assert world.finish is None
    world.pass_time(20.0)
    assert world.finish is not None
    assert world.finish.phase == "failed"
    assert "wait for a trainer" in world.finish.reason
    assert "attach trainer" in world.finish.reason


def test_an_agent_that_never_gets_ready_is_given_up(make_world: MakeWorld) -> None:
    world = make_world(limits={"startup_timeout_seconds": 30.0})
    agent = world.join("trainer", "trainer-0")
    world.state.agents.get(agent.name).is_ready = False
    world.pass_time(40.0)
    assert world.state.agents.get(agent.name) is None


@pytest.mark.parametrize(
    ("event", "phase", "shown"),
    [(StopRequested(reason="enough"), "stopped", "stopping"), (StorageFailed(reason="disk full"), "failed", "failed")],
)
def test_after_the_end_nothing_is_given_out_or_acknowledged(make_world: MakeWorld, event: Any, phase: str, shown: str) -> None:
    world = make_world()
    agent = world.join("trainer", "trainer-0")
    world.work(agent, next(iter(agent.jobs)))
    world.feed(event)
    assert world.finish is not None
    assert world.finish.phase == phase
    assert world.state.handle(next(iter(agent.outbox.values())), world.now) == []
    assert world.state.handle(Tick(), world.now) == []
    assert world.state.status(world.now).phase == shown
