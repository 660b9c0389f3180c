"""`algorithm.max_policy_lag`: which version a round uses, what may begin when, and that timing never decides either."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol.jobs import AdaptJob, CreditJob, ProposeJob
from seal_runtime.controller.plan import make_plan, round_version
from seal_runtime.ledger.records import PolicyRecord

MakeWorld = Callable[..., Any]
LAG = {"max_policy_lag": 1}


def finished(world: Any) -> Any:
    world.join_all()
    assert world.run_calmly().phase == "done"
    return world


def versions(world: Any) -> dict[str, set[int]]:
    """Return the policy versions that the jobs of each round name, credit and update apart."""
    found: dict[str, set[int]] = {}
    for record in world.results():
        if record.key.study.startswith("round-") and record.key.stage in ("propose", "adapt", "evaluate"):
            found.setdefault(record.key.study, set()).add(record.job.policy.version)
    return found


def held(world: Any) -> set[str]:
    return {job_id.split("/")[0] for agent in world.agents.values() for job_id in agent.jobs}


def work_all_but(world: Any, spared: Callable[[str], bool]) -> None:
    """Let everybody work until nothing but spared jobs is held."""
    while any(not spared(job_id) for agent in world.agents.values() for job_id in agent.jobs):
        for agent in world.agents.values():
            for job_id in [job_id for job_id in agent.jobs if not spared(job_id)]:
                world.work(agent, job_id)
            world.deliver(agent)


@pytest.mark.parametrize(("lag", "expected"), [(0, [0, 1, 2, 3, 4]), (1, [0, 0, 1, 2, 3]), (2, [0, 0, 0, 1, 2]), (9, [0, 0, 0, 0, 0])])
def test_the_version_of_a_round_is_in_the_plan(lag: int, expected: list[int], make_topology: MakeWorld, make_task: MakeWorld) -> None:
    plan = make_plan(make_topology(run={"rounds": 5}, algorithm={"max_policy_lag": lag}), make_task())
    assert [plan.study(f"round-{number}").policy_version for number in range(1, 6)] == expected
    assert [round_version(number, lag) for number in range(1, 6)] == expected
    assert [study.policy_version for study in plan.studies if study.purpose == "heldout"] == [0, 1, 2, 3, 4, 5]
    assert len(plan.notes) == (lag >= 4)


def test_with_a_lag_of_one_round_two_uses_the_base_model_and_round_three_version_one(make_world: MakeWorld) -> None:
    world = finished(make_world(run={"rounds": 3}, algorithm=LAG))
    assert versions(world) == {"round-1": {0}, "round-2": {0}, "round-3": {1}}
    assert {record.key.study: record.policy_version for record in world.results("evaluate") if record.key.study.startswith("round")} == {
        "round-1": 0, "round-2": 0, "round-3": 1,
    }  # fmt: skip
    updates = world.results("policy")
    adapters = [record.result.adapter for record in updates]
    assert [record.key.study for record in updates] == ["round-1", "round-2", "round-3"]
    assert [(record.job.policy.version, record.policy_version) for record in updates] == [(0, 0), (1, 1), (2, 2)]
    assert [record.job.policy.chain for record in updates] == [(), tuple(adapters[:1]), tuple(adapters[:2])]
    policies = [record for record in world.records if isinstance(record, PolicyRecord)]
    assert [(policy.version, policy.parent, policy.round) for policy in policies] == [(0, -1, 0), (1, 0, 1), (2, 1, 2), (3, 2, 3)]


def test_without_lag_each_round_waits_for_the_update_before_it(make_world: MakeWorld) -> None:
    world = finished(make_world(run={"rounds": 3}))
    assert versions(world) == {"round-1": {0}, "round-2": {1}, "round-3": {2}}


def test_a_round_runs_ahead_while_the_update_before_it_is_under_way(make_world: MakeWorld) -> None:
    world = make_world(run={"rounds": 3}, algorithm=LAG)
    world.join_all()
    work_all_but(world, lambda job_id: job_id == "round-1/policy")
    assert held(world) == {"round-1"}
    assert "round-2" in world.metrics(), "round 2 is scored"
    assert [record.key.study for record in world.results("credit")] == ["round-1", "round-2"]
    assert "round-3" not in world.state._workflow.studies, "round 3 waits for version 1"
    assert world.state.status(world.now).phase == "updating"
    assert world.run_calmly().phase == "done"


def test_a_round_that_is_credited_first_is_updated_in_its_turn(make_world: MakeWorld) -> None:
    calm = finished(make_world(run={"rounds": 3}, algorithm=LAG))
    world = make_world(run={"rounds": 3}, algorithm=LAG)
    world.join_all(trainers=4)
    work_all_but(world, lambda job_id: job_id.startswith("round-1/") and job_id.endswith("adapt"))
    assert [record.key.study for record in world.results("credit")] == ["round-2"]
    assert world.results("policy") == []
    assert not any(job_id.endswith("policy") for agent in world.agents.values() for job_id in agent.jobs)
    assert world.run_calmly().phase == "done"
    assert [record.key.study for record in world.results("policy")] == ["round-1", "round-2", "round-3"]
    assert world.chosen() == calm.chosen()
    assert {r.key.job_id: r.job for r in world.results()} == {r.key.job_id: r.job for r in calm.results()}


def test_an_earlier_round_goes_before_one_that_runs_ahead(make_world: MakeWorld) -> None:
    world = make_world(run={"rounds": 3}, algorithm=LAG, evaluation={"num_contexts": 0, "retention": False})
    proposer = world.join("proposer", "proposer-0", capacity=1)
    order = []
    while proposer.jobs:
        (job_id,) = proposer.jobs
        order.append(job_id.split("/")[0])
        world.work(proposer, job_id)
        world.deliver(proposer)
    assert order == ["round-1"] * 4 + ["round-2"] * 4


def test_improved_selection_measures_a_baseline_for_each_round_on_its_own_version(make_world: MakeWorld) -> None:
    world = finished(make_world(run={"rounds": 3}, algorithm={**LAG, "select": "improved", "resample_contexts": True}))
    for number, version in ((1, 0), (2, 0), (3, 1)):
        baselines = world.results("evaluate", f"baseline-round-{number}")
        assert {record.job.policy.version for record in baselines} == {version}
        groups = world.results("credit", f"round-{number}")[0].job.groups
        assert {group.context_id: group.baseline for group in groups} == {r.key.context_id: r.score for r in baselines}


def test_nothing_held_out_reaches_credit_or_an_update(make_world: MakeWorld) -> None:
    world = finished(make_world(run={"rounds": 4}, algorithm={"max_policy_lag": 2}))
    for record in world.results():
        if isinstance(record.job, CreditJob) or (isinstance(record.job, AdaptJob) and record.job.purpose == "policy"):
            assert not any(word in repr(record.job) for word in ("test", "validation", "known", "scripted"))
        if isinstance(record.job, ProposeJob) and record.key.study.startswith("round"):
            assert "propose reward" in record.job.prompt


@pytest.mark.parametrize("num_steps", [5, 30, 60, 90, 120])
def test_a_run_with_lag_taken_up_again_chooses_the_same_edits(make_world: MakeWorld, num_steps: int) -> None:
    calm = finished(make_world(run={"rounds": 3}, algorithm=LAG))
    world = make_world(run={"rounds": 3}, algorithm=LAG)
    world.join_all()
    while len(world.results()) < num_steps:
        for agent in list(world.agents.values()):
            for job_id in list(agent.jobs)[:1]:
                world.work(agent, job_id)
            world.deliver(agent)
    world.agents.clear()
    world.boot()
    world.join_all(trainers=1)
    assert world.run_calmly().phase == "done"
    assert world.chosen() == calm.chosen()
    assert {r.key.job_id: r.job for r in world.results()} == {r.key.job_id: r.job for r in calm.results()}
