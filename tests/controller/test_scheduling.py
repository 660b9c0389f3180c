"""Who gets which job: urgency, fairness, room, drain, names."""

from collections.abc import Callable
from typing import Any

from protocol.messages import Drain
from seal_runtime.controller.commands import SendTo
from seal_runtime.controller.dispatch import ATTEMPTS_PER_EPOCH
from seal_runtime.controller.events import AgentLeft, AgentReady, AgentRegistered, DrainRequested

MakeWorld = Callable[..., Any]


def test_a_burst_is_shared_evenly_between_trainers(make_world: MakeWorld) -> None:
    world = make_world(algorithm={"contexts_per_round": 6, "edits_per_context": 6})
    world.join("trainer", "trainer-0", capacity=100)
    world.join("trainer", "trainer-1", capacity=100)
    proposer = world.join("proposer", "proposer-0", capacity=100)
    for job_id in list(proposer.jobs):
        world.work(proposer, job_id)
    world.deliver(proposer)
    loads = [len(world.agents[name].jobs) for name in ("trainer-0", "trainer-1")]
    assert sum(loads) > 30
    assert abs(loads[0] - loads[1]) <= 1


def test_nobody_holds_more_than_its_capacity(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("proposer", "proposer-0", capacity=3)
    assert len(agent.jobs) == 3
    world.work(agent, next(iter(agent.jobs)))
    world.deliver(agent)
    assert len(agent.jobs) == 3


def test_a_rounds_own_work_comes_before_measurements_of_the_same_policy(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("proposer", "proposer-0", capacity=1)
    order = []
    while agent.jobs:
        (job_id,) = agent.jobs
        order.append(job_id.split("/")[0])
        world.work(agent, job_id)
        world.deliver(agent)
    assert order == ["round-1"] * 4 + ["heldout-v0"] * 3


def test_an_older_policys_work_comes_before_a_newer_ones_and_the_update_before_all(make_world: MakeWorld) -> None:
    world = make_world()
    world.join("proposer", "proposer-0", capacity=50)
    evaluator = world.join("evaluator", "evaluator-0", capacity=50)
    world.join("critic", "critic-0", capacity=1)
    trainer = world.join("trainer", "trainer-0", capacity=1)
    order = []
    while world.finish is None:
        for agent in world.agents.values():
            for job_id in list(agent.jobs):
                if agent is trainer:
                    order.append((job_id, agent.jobs[job_id].job.policy.version, len(evaluator.jobs)))
                world.work(agent, job_id)
            world.deliver(agent)
    update = [job_id for job_id, *_ in order].index("round-1/policy")
    version_0 = [position for position, (job_id, version, _) in enumerate(order) if version == 0 and "equal-steps" not in job_id]
    version_1 = [position for position, (_, version, _) in enumerate(order) if version == 1]
    assert update < max(version_0), "the update overtakes baselines that still wait"
    assert max(version_0) < min(version_1)
    assert order[-3][0].startswith("passage-only-equal-steps")


def test_a_draining_agent_finishes_its_jobs_and_gets_no_more(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("proposer", "proposer-0", capacity=2)
    held = list(agent.jobs)
    world.feed(DrainRequested(agent="proposer-0"))
    world.feed(DrainRequested(agent="proposer-0"))
    assert [c for c in world.commands if isinstance(c, SendTo) and isinstance(c.message, Drain)] != []
    assert world.state.agents.get("proposer-0").state == "draining"
    for job_id in held:
        world.work(agent, job_id)
    world.deliver(agent)
    assert agent.jobs == {}
    assert len(world.results("propose")) == 2
    world.feed(AgentLeft(agent="proposer-0", reason="drained", died=False))
    assert len(world.join("proposer", "proposer-1", capacity=50).jobs) == 5


def test_an_agent_that_is_not_ready_gets_nothing(make_world: MakeWorld) -> None:
    world = make_world()
    identity = AgentRegistered(agent="trainer-0", incarnation="a", role="trainer", capacity=9, hostname="h", pid=1, gpus=(0,))
    world.feed(identity)
    assert world.state.status(world.now).jobs_waiting["trainer"] == 6
    assert world.state.agents.get("trainer-0").state == "starting"
    world.feed(AgentReady(agent="trainer-0", capacity=2))
    assert world.state.status(world.now).jobs_waiting["trainer"] == 4
    world.feed(AgentReady(agent="unknown", capacity=2))


def test_the_same_process_may_register_again_and_keeps_its_jobs(make_world: MakeWorld) -> None:
    world = make_world()
    agent = world.join("trainer", "trainer-0", capacity=2)
    held = {job_id: assign.attempt for job_id, assign in agent.jobs.items()}
    world.register(agent)
    assert {job_id: assign.attempt for job_id, assign in agent.jobs.items()} == held
    assert len(world.state.agents.all()) == 1


def test_another_process_under_the_same_name_takes_over_and_the_jobs_are_given_anew(make_world: MakeWorld) -> None:
    world = make_world()
    old = world.join("trainer", "trainer-0", capacity=2)
    held = set(old.jobs)
    new = world.join("trainer", "trainer-0", capacity=2)
    assert set(new.jobs) == held
    assert {assign.attempt for assign in new.jobs.values()} == {2}
    for job_id in held:
        world.work(old, job_id)
    before = len(world.records)
    world.deliver(old)
    assert len(world.records) == before


def test_a_restarted_controller_uses_attempt_numbers_above_the_old_ones(make_world: MakeWorld) -> None:
    world = make_world()
    old = world.join("trainer", "trainer-0", capacity=1)
    (job_id,) = old.jobs
    assert old.jobs[job_id].attempt == 1
    world.work(old, job_id)
    world.boot()
    world.register(old)
    assert old.jobs[job_id].attempt == ATTEMPTS_PER_EPOCH + 1
    before = len(world.records)
    world.deliver(old)
    assert len(world.records) == before


def test_a_chosen_name_is_free(make_world: MakeWorld) -> None:
    world = make_world()
    world.join("trainer", "trainer-0")
    assert world.state.agents.free_name("trainer", {"trainer-1"}) == "trainer-2"
    assert world.state.agents.free_name("critic", ()) == "critic-0"
