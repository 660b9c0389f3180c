"""Agents that do not come round: named with role, job and stack, left alone while they may be innocent, given up when they are hung."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from protocol.messages import Reject
from seal_runtime.controller.commands import LogEvent, SendTo
from seal_runtime.controller.events import AgentBeat, AgentDiagnosed

MakeWorld = Callable[..., Any]


def beat(world: Any, agent: Any, step_age_seconds: float) -> None:
    job_ids = tuple(agent.jobs)
    world.feed(
        AgentBeat(
            agent=agent.name,
            state="busy",
            job_ids=job_ids,
            step_age_seconds=step_age_seconds,
            gpu_memory_bytes=0,
            gpu_busy_share=None,
            frames_dropped=0,
        )
    )


def diagnose(world: Any, agent: Any, *stack: str, condition: str = "", incarnation: str = "") -> None:
    world.feed(AgentDiagnosed(agent=agent.name, incarnation=incarnation or agent.incarnation, condition=condition, stack=stack))


def stay_in_step(world: Any, agent: Any, seconds: float) -> None:
    """Let time pass while an agent beats and its main thread does not come round; the others are well."""
    began_at = world.now - 1.0
    while world.now < began_at + 1.0 + seconds and world.state.agents.get(agent.name) is not None:
        agent.alive = False
        world.pass_time(1.0)
        agent.alive = True
        beat(world, agent, world.now - began_at)


def problems(world: Any) -> str:
    """Return the problems of agents and jobs; that these worlds have no agents of some roles is no part of it."""
    return "\n".join(line for line in world.state.status(world.now).problems if "adds one" not in line)


def stuck_events(world: Any) -> list[LogEvent]:
    return list(world.logged("agent_stuck"))


def rejected(world: Any) -> list[str]:
    return [c.message.reason for c in world.commands if isinstance(c, SendTo) and isinstance(c.message, Reject)]


def test_an_agent_in_one_step_is_named_with_role_job_seconds_and_stack(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("trainer", "trainer-0", capacity=2)
    first, _ = agent.jobs
    stay_in_step(world, agent, 19.0)
    assert problems(world) == ""
    beat(world, agent, 21.0)
    diagnose(world, agent, "engines/adapt.py:88 step", "agents/trainer.py:40 step", "agents/base.py:9 serve", "x.py:1 main")
    calls = "engines/adapt.py:88 step < agents/trainer.py:40 step < agents/base.py:9 serve"
    assert problems(world) == f"trainer-0 (trainer) has been in one step for 21 s, job {first} and 1 more, at {calls}"
    (event,) = stuck_events(world)
    assert event.level == "warning"
    assert event.fields == {
        "worker": "trainer-0", "worker_role": "trainer", "job": first, "jobs": 2, "seconds": 21.0, "condition": "",
        "stack": f"{calls} < x.py:1 main",
    }  # fmt: skip


def test_an_agent_that_comes_round_is_not_named_any_more(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("trainer", "trainer-0")
    beat(world, agent, 25.0)
    diagnose(world, agent, "a.py:1 f")
    assert "in one step for 25 s" in problems(world)
    beat(world, agent, 0.1)
    assert problems(world) == ""
    assert len(world.logged("agent_came_round")) == 1


def test_a_training_step_of_ten_minutes_keeps_its_agent_and_its_jobs(make_world: MakeWorld) -> None:
    world = make_world()
    agent, other = world.join("trainer", "trainer-0", capacity=2), world.join("trainer", "trainer-1", capacity=50)
    held = {job_id: assign.attempt for job_id, assign in agent.jobs.items()}
    stay_in_step(world, agent, 600.0)
    assert "trainer-0 (trainer) has been in one step for 601 s" in problems(world)
    assert {job_id: assign.attempt for job_id, assign in agent.jobs.items()} == held
    assert not held.keys() & other.jobs.keys()
    assert rejected(world) == []
    for job_id in list(held):
        world.work(agent, job_id)
    world.deliver(agent)
    assert agent.outbox == {}
    assert world.logged("late_reply") == []


def test_a_hung_agent_loses_its_jobs_and_is_refused_so_that_it_starts_again(make_world: MakeWorld) -> None:
    world = make_world(limits={"step_timeout_seconds": 60.0})
    agent = world.join("trainer", "trainer-0", capacity=2)
    held = set(agent.jobs)
    stay_in_step(world, agent, 50.0)
    diagnose(world, agent, "engines/adapt.py:88 step")
    assert world.state.agents.get("trainer-0") is not None
    beat(world, agent, 61.0)
    agent.alive = False
    world.pass_time(0.5)
    assert world.state.agents.get("trainer-0") is None
    (reason,) = rejected(world)
    assert reason == "given up: in one step for 61 s (limits.step_timeout_seconds)"
    assert held <= set(world.join("trainer", "trainer-1", capacity=50).jobs)
    gone = "trainer-0 (trainer) is gone (in one step for 61 s (limits.step_timeout_seconds), at engines/adapt.py:88 step)"
    assert gone in problems(world)


def test_loading_a_model_is_no_step(make_world: MakeWorld) -> None:
    world = make_world(limits={"step_timeout_seconds": 60.0})
    agent = world.join("trainer", "trainer-0")
    world.state.agents.get(agent.name).is_ready = False
    stay_in_step(world, agent, 100.0)
    diagnose(world, agent, "transformers/modeling.py:1 load")
    assert world.state.agents.get("trainer-0") is not None
    assert problems(world) == ""
    assert stuck_events(world) == []


@pytest.mark.parametrize("timeout_seconds", [15.0, 120.0])
def test_a_silent_agent_is_looked_at_once_and_named_within_thirty_seconds(make_world: MakeWorld, timeout_seconds: float) -> None:
    world = make_world(bus={"agent_timeout_seconds": timeout_seconds})
    agent = world.join("trainer", "trainer-0", capacity=1)
    (job_id,) = agent.jobs
    agent.alive = False
    asked, began_at = [], world.now
    for _ in range(29):
        world.pass_time(1.0)
        for identity in world.state.silent_agents(world.now):
            asked.append((identity.agent, world.now - began_at))
            diagnose(world, agent, condition="stopped by a signal")
        if world.state.agents.get("trainer-0") is None:
            break
    assert [name for name, _ in asked] == ["trainer-0"]
    assert asked[0][1] < 20.0
    assert re.search(rf"trainer-0 \(trainer\) .*silent for \d+ s.*{re.escape(job_id)}", problems(world))
    assert "stopped by a signal" in problems(world)
    (event,) = stuck_events(world)
    assert (event.fields["condition"], event.fields["worker_role"], event.fields["job"]) == ("stopped by a signal", "trainer", job_id)


def test_a_silent_agent_that_comes_back_works_on_under_its_name(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("trainer", "trainer-0", capacity=2)
    agent.alive = False
    world.pass_time(20.0)
    assert world.state.agents.get("trainer-0") is None
    agent.alive = True
    assert rejected(world) == []
    world.register(agent)  # as its channel does when a Pulse says that it is not known
    world.pass_time(70.0)
    assert len(agent.jobs) == 2
    assert problems(world).count("trainer-0") == 0


def test_what_was_found_out_of_a_former_process_is_not_said_of_the_new_one(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("trainer", "trainer-0")
    diagnose(world, agent, "a.py:1 f", incarnation="before")
    diagnose(world, world.join("critic", "critic-0"), condition="x", incarnation="before")
    world.feed(AgentDiagnosed(agent="unknown", incarnation="i", condition="x", stack=()))
    assert stuck_events(world) == []


def test_a_job_that_hangs_every_agent_is_set_aside_as_poison(make_world: MakeWorld) -> None:
    world = make_world(limits={"step_timeout_seconds": 30.0})
    world.join("proposer", "proposer-0")
    world.join("evaluator", "evaluator-0")
    world.join("critic", "critic-0")
    poison = "passage-only/test-0/e0/r0/adapt"
    for number in range(1000):
        if world.finish is not None:
            break
        trainer = next((agent for agent in world.agents.values() if agent.role == "trainer" and agent.alive), None)
        trainer = trainer or world.join("trainer", f"trainer-{number}", capacity=1)
        for agent in list(world.agents.values()):
            for job_id in [job_id for job_id in agent.jobs if job_id != poison]:
                world.work(agent, job_id)
            if agent.alive:
                world.deliver(agent)
        if poison in trainer.jobs:
            stay_in_step(world, trainer, 40.0)
            assert world.state.agents.get(trainer.name) is None
            world.kill(trainer)
        world.pass_time(1.0)
    assert world.finish.phase == "done"
    (record,) = [record for record in world.records if type(record).__name__ == "SetAsideRecord"]
    assert record.job_id == poison
    assert "poison: 3 agents died with it, the last was trainer-" in record.reason
    assert "(in one step for 3" in record.reason
    assert "passage-only: 1 self-edit(s) could not be measured (last: poison: 3 agents died with it" in problems(world)


def test_a_job_that_takes_long_is_named_before_its_deadline(make_world: MakeWorld) -> None:
    world = make_world(limits={"job_timeout_seconds": 100.0})
    agent = world.join("trainer", "trainer-0", capacity=1)
    (job_id,) = agent.jobs
    world.pass_time(49.0)
    assert problems(world) == ""
    world.pass_time(3.0)
    assert f"job {job_id} has been with trainer-0 for 52 s" in problems(world)
