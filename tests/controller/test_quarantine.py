"""An agent that fails everything gets a rest, not the jobs' attempts; nobody rests for ever, and bad jobs do not rest anybody."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol.jobs import AdaptJob, Job
from seal_runtime.controller.quarantine import ALONE_REST_SECONDS, FAILURES_BEFORE_REST, FIRST_REST_SECONDS, MAX_REST_SECONDS
from seal_runtime.ledger.records import SetAsideRecord

MakeWorld = Callable[..., Any]


@pytest.fixture
def busy_world(make_world: MakeWorld, make_task: Callable[..., Any]) -> Any:
    """Return a world with sixty proposals to make, and a patience with which none is set aside."""
    limits = {"max_attempts": 1000, "no_agent_timeout_seconds": 1e6}
    return make_world(make_task(reward=60), algorithm={"contexts_per_round": 60}, limits=limits)


def set_aside(world: Any) -> list[SetAsideRecord]:
    return [record for record in world.records if isinstance(record, SetAsideRecord)]


def fail_jobs(world: Any, agent: Any, count: int, *, retryable: bool = True) -> None:
    """Let an agent fail so many different jobs, one after the other."""
    seen: set[str] = set()
    while len(seen) < count:
        job_id = next(job_id for job_id in agent.jobs if job_id not in seen)
        seen.add(job_id)
        world.fail(agent, agent.jobs.pop(job_id), "AdaptError", "no space left on device", retryable)
        world.deliver(agent)


def problems(world: Any) -> list[str]:
    return [line for line in world.state.status(world.now).problems if "fails every job" in line]


def test_an_agent_that_fails_everything_rests_and_is_named(busy_world: Any) -> None:
    world = busy_world
    sick, well = world.join("proposer", "proposer-0", capacity=1), world.join("proposer", "proposer-1", capacity=1)
    fail_jobs(world, sick, FAILURES_BEFORE_REST)
    assert problems(world) == ["proposer-0 (proposer) fails every job (AdaptError: no space left on device); it gets none for 15 s"]
    (event,) = world.logged("agent_rests")
    assert (event.fields["worker"], event.fields["worker_role"], event.fields["seconds"]) == ("proposer-0", "proposer", FIRST_REST_SECONDS)
    world.pass_time(FIRST_REST_SECONDS - 1)
    assert (len(sick.jobs), len(well.jobs)) == (0, 1)


def test_the_rest_is_followed_by_a_single_job_and_a_success_ends_it(busy_world: Any) -> None:
    world = busy_world
    sick, _ = world.join("proposer", "proposer-0", capacity=1), world.join("proposer", "proposer-1", capacity=1)
    fail_jobs(world, sick, FAILURES_BEFORE_REST)
    world.state.agents.get("proposer-0").capacity = 4
    world.pass_time(FIRST_REST_SECONDS + 1)
    assert len(sick.jobs) == 1
    assert "it gets one at a time until one succeeds" in problems(world)[0]
    world.work(sick, next(iter(sick.jobs)))
    world.deliver(sick)
    assert problems(world) == []
    assert len(world.logged("agent_trusted_again")) == 1
    assert len(sick.jobs) == 4


def test_each_rest_is_twice_as_long_as_the_one_before_up_to_a_limit(busy_world: Any) -> None:
    world = busy_world
    sick, _ = world.join("proposer", "proposer-0", capacity=1), world.join("proposer", "proposer-1", capacity=1)
    fail_jobs(world, sick, FAILURES_BEFORE_REST)
    rests = []
    for _ in range(8):
        entry = world.state.agents.get("proposer-0")
        rests.append(entry.resting_until - world.now)
        world.pass_time(rests[-1] + 1)
        fail_jobs(world, sick, 1)
    assert rests == [min(FIRST_REST_SECONDS * 2**n, MAX_REST_SECONDS) for n in range(8)]
    assert rests[-1] == MAX_REST_SECONDS


def test_the_only_agent_of_its_role_merely_pauses(busy_world: Any) -> None:
    world = busy_world
    only = world.join("proposer", "proposer-0", capacity=8)
    for _ in range(4):
        fail_jobs(world, only, FAILURES_BEFORE_REST)
        assert world.state.agents.get("proposer-0").resting_until == world.now + ALONE_REST_SECONDS
        world.pass_time(ALONE_REST_SECONDS + 1)
        assert len(only.jobs) == 8, "no probation: nobody else could do the work meanwhile"


def test_one_sick_agent_costs_no_job_its_attempts(make_world: MakeWorld, calm_world: Any) -> None:
    world = make_world()
    honest = world.answer
    world.answer = lambda agent, job: None if agent.name == "trainer-0" else honest(agent, job)
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert set_aside(world) == []
    assert world.chosen() == calm_world.chosen()
    assert world.state.agents.get("trainer-0").jobs_failed < 40
    assert world.state.agents.get("trainer-0").jobs_done == 0


def test_three_sick_agents_of_four_cost_no_job_its_attempts(make_world: MakeWorld, calm_world: Any) -> None:
    """Without forgiveness the first jobs would fail on each of the three and be set aside."""
    world = make_world()
    honest = world.answer
    world.answer = lambda agent, job: None if agent.name in ("trainer-0", "trainer-1", "trainer-2") else honest(agent, job)
    world.join_all(trainers=4)
    assert world.run_calmly().phase == "done"
    assert set_aside(world) == []
    assert world.chosen() == calm_world.chosen()


def test_a_job_that_fails_everywhere_is_set_aside_although_agents_rest(make_world: MakeWorld) -> None:
    world = make_world()
    honest = world.answer

    def spoil(agent: Any, job: Job) -> Any:
        return None if isinstance(job, AdaptJob) and "heldout-v0" in job.job_id else honest(agent, job)

    world.answer = spoil
    world.join_all()
    assert world.run_calmly().phase == "done"
    spoiled = {record.job_id for record in set_aside(world)}
    assert spoiled
    assert all(job_id.startswith("heldout-v0/") for job_id in spoiled)


def test_failures_that_every_agent_would_repeat_are_the_jobs_own(busy_world: Any) -> None:
    world = busy_world
    agent, _ = world.join("proposer", "proposer-0", capacity=1), world.join("proposer", "proposer-1", capacity=1)
    fail_jobs(world, agent, FAILURES_BEFORE_REST, retryable=False)
    assert problems(world) == []


def test_what_was_given_out_before_the_rest_does_not_make_it_longer(busy_world: Any) -> None:
    world = busy_world
    sick, _ = world.join("proposer", "proposer-0", capacity=12), world.join("proposer", "proposer-1", capacity=1)
    fail_jobs(world, sick, 11)
    assert world.state.agents.get("proposer-0").resting_until == world.now + FIRST_REST_SECONDS
    world.work(sick, next(iter(sick.jobs)))
    world.deliver(sick)
    assert problems(world) == [], "a success is a success"


def test_a_new_process_under_the_name_begins_with_a_clean_sheet(busy_world: Any) -> None:
    world = busy_world
    sick, _ = world.join("proposer", "proposer-0", capacity=1), world.join("proposer", "proposer-1", capacity=1)
    fail_jobs(world, sick, FAILURES_BEFORE_REST)
    again = world.join("proposer", "proposer-0", capacity=6, incarnation="next")
    assert len(again.jobs) == 6
    assert problems(world) == []


def test_an_agent_held_back_for_a_suspect_is_let_go_when_it_cannot_take_it(busy_world: Any) -> None:
    """It used to stay reserved for a job that another agent had done long ago, and got nothing any more."""
    world = busy_world
    held_back, other = world.join("proposer", "proposer-8", capacity=2), world.join("proposer", "proposer-9", capacity=2)
    suspect = ""
    for number in range(2):
        victim = world.join("proposer", f"proposer-{number}", capacity=1)
        suspect = suspect or next(iter(victim.jobs))
        assert list(victim.jobs) == [suspect]
        world.kill(victim)
    assert world.state.agents.get("proposer-8").reserved_for == suspect
    held_back.alive = False
    world.pass_time(5.0)  # too quiet for new jobs by now
    for _ in range(2):
        for job_id in list(other.jobs):
            world.work(other, job_id)
        world.deliver(other)
        world.pass_time(0.5)
    assert suspect in {record.key.job_id for record in world.results("propose")}
    held_back.alive = True
    world.pass_time(1.0)
    for job_id in list(held_back.jobs):
        world.work(held_back, job_id)
    world.deliver(held_back)
    assert len(held_back.jobs) == 2
