"""What fails is tried again, set aside or ends the run; it is never a score."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.jobs import AdaptJob, CreditJob, CreditResult, EvaluateJob, EvaluateResult, GradedAnswer, Job, ProposeJob
from seal_runtime.controller.commands import Commit
from seal_runtime.ledger.records import FailureRecord, SetAsideRecord

MakeWorld = Callable[..., Any]


def failures(world: Any) -> list[FailureRecord]:
    return [c.record for c in world.commands if isinstance(c, Commit) and isinstance(c.record, FailureRecord)]


def set_aside(world: Any) -> list[SetAsideRecord]:
    return [record for record in world.records if isinstance(record, SetAsideRecord)]


def sabotage(world: Any, spoil: Callable[[Any, Job, Any], Any]) -> None:
    """Let `spoil(agent, job, result)` replace what an agent answers."""
    honest = world.answer
    world.answer = lambda agent, job: spoil(agent, job, honest(agent, job))


def receipt(**changes: Any) -> Callable[[EvaluateResult], EvaluateResult]:
    return lambda result: replace(result, receipt=replace(result.receipt, **changes))


def answers(change: Callable[[tuple[GradedAnswer, ...]], tuple[GradedAnswer, ...]]) -> Callable[[EvaluateResult], EvaluateResult]:
    return lambda result: replace(result, answers=change(result.answers))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (receipt(adapter_sha256="f" * 64), "names adapter ffffffffffff"),
        (receipt(adapter_sha256=""), "names adapter none"),
        (receipt(policy_version=1), "policy version 1"),
        (receipt(policy_sha256s=("f" * 64,)), "other adapters of the policy"),
        (receipt(probe_delta=0.0), "no effect"),
        (receipt(probe_delta=-1.0), "no effect"),
        (answers(lambda given: given[:-1]), "3 questions"),
        (answers(lambda given: given[::-1]), "3 questions"),
        (answers(lambda given: (*given[:2], replace(given[2], score=1.5))), r"\[0, 1\]"),
        (answers(lambda given: (*given[:2], replace(given[2], score=-0.1))), r"\[0, 1\]"),
    ],
)
def test_an_evaluation_without_a_valid_receipt_is_tried_again_and_never_scored(
    make_world: MakeWorld, calm_world: Any, change: Callable[[EvaluateResult], EvaluateResult], reason: str
) -> None:
    world = make_world()
    spoiled: set[str] = set()

    def spoil(agent: Any, job: Job, result: Any) -> Any:
        if isinstance(job, EvaluateJob) and job.adapter and job.job_id.startswith("round-1/") and job.job_id not in spoiled:
            spoiled.add(job.job_id)
            return change(result)
        return result

    sabotage(world, spoil)
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert {failure.job_id for failure in failures(world)} == spoiled != set()
    assert all(failure.error_type == "ReceiptError" for failure in failures(world))
    assert re.search(reason, failures(world)[0].reason)
    assert world.chosen() == calm_world.chosen()
    assert set_aside(world) == []


def test_an_evaluation_that_never_proves_itself_is_set_aside_and_the_round_goes_on_without(make_world: MakeWorld) -> None:
    world = make_world()
    victim: list[str] = []

    def spoil(agent: Any, job: Job, result: Any) -> Any:
        if isinstance(job, EvaluateJob) and job.job_id.startswith("round-1/") and job.job_id == (victim or [job.job_id])[0]:
            victim[:] = [job.job_id]
            return receipt(probe_delta=0.0)(result)
        return result

    sabotage(world, spoil)
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert [record.job_id for record in set_aside(world)] == victim
    assert [failure.attempt for failure in failures(world)] == [1, 2, 3]
    assert world.metrics()["round-1"].num_invalid == 1
    _, context, edit, *_ = victim[0].split("/")
    group = next(g for g in world.results("credit", "round-1")[0].job.groups if g.context_id == context)
    assert group.edits[int(edit[1:])].rewards == ()
    (problem,) = [line for line in world.state.status(world.now).problems if line.startswith("round-1: ")]
    assert problem.startswith("round-1: 1 self-edit(s) could not be measured (last: ReceiptError: ")
    world.boot()
    assert problem in world.state.status(world.now).problems, "a resumed run still says so"


@pytest.mark.parametrize("wrong", ["another kind", "too few edits", "unknown credit", "empty update"])
def test_an_answer_that_does_not_fit_its_job_is_a_failed_attempt(make_world: MakeWorld, calm_world: Any, wrong: str) -> None:
    world = make_world()
    spoiled: list[str] = []

    def spoil(agent: Any, job: Job, result: Any) -> Any:
        if spoiled or not isinstance(job, ProposeJob if wrong in ("another kind", "too few edits") else CreditJob):
            return result
        spoiled.append(job.job_id)
        if wrong == "another kind":
            return CreditResult(credits=(), update=None)
        if wrong == "too few edits":
            return replace(result, edits=result.edits[:1])
        if wrong == "unknown credit":
            return replace(result, credits=(replace(result.credits[0], context_id="test-0"),))
        return replace(result, update=replace(result.update, sequences=()))

    sabotage(world, spoil)
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert [failure.error_type for failure in failures(world)] == ["ProtocolError"]
    assert world.chosen() == calm_world.chosen()


def test_a_failure_that_every_agent_would_repeat_is_set_aside_at_once(make_world: MakeWorld) -> None:
    world = make_world()
    world.join_all()
    agent = next(agent for agent in world.agents.values() if agent.role == "trainer" and agent.jobs)
    job_id, assign = next(iter(agent.jobs.items()))
    del agent.jobs[job_id]
    world.fail(agent, assign, "AdaptError", "diverged", retryable=False)
    world.deliver(agent)
    assert [(record.job_id, record.reason) for record in set_aside(world)] == [(job_id, "AdaptError: diverged")]


def test_a_lost_proposal_costs_all_edits_of_its_context(make_world: MakeWorld) -> None:
    world = make_world()
    sabotage(world, lambda agent, job, result: None if job.job_id == "heldout-v1/test-2/propose" else result)
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert (world.metrics()["heldout-v1"].num_invalid, world.metrics()["heldout-v1"].num_scored) == (2, 4)


def test_a_retry_waits_longer_each_time_and_goes_to_another_agent(make_world: MakeWorld) -> None:
    world = make_world()
    world.join_all()
    tried: list[tuple[str, float]] = []

    def spoil(agent: Any, job: Job, result: Any) -> Any:
        if job.job_id == "passage-only/test-0/e0/r0/adapt":
            tried.append((agent.name, world.now))
            return None
        return result

    sabotage(world, spoil)
    assert world.run_calmly().phase == "done"
    assert len(tried) == 3
    assert tried[0][0] != tried[1][0]
    assert tried[0][1] < tried[1][1] <= tried[2][1]


def test_more_than_half_of_a_round_unmeasured_stops_the_run(make_world: MakeWorld) -> None:
    world = make_world()
    sabotage(world, lambda agent, job, result: None if isinstance(job, EvaluateJob) and job.job_id.startswith("round-1") else result)
    world.join_all()
    finish = world.run_calmly()
    assert finish.phase == "failed"
    assert "of 8 self-edits of round-1 could not be measured" in finish.reason
    assert world.results("credit") == []
    assert world.state.status(world.now).problems[0] == finish.reason


@pytest.mark.parametrize("stage", ["credit", "policy"])
def test_a_round_that_cannot_be_closed_fails_the_run_and_leaves_it_open_for_resume(
    make_world: MakeWorld, calm_world: Any, stage: str
) -> None:
    world = make_world()
    honest = world.answer
    sabotage(world, lambda agent, job, result: None if job.job_id == f"round-2/{stage}" else result)
    world.join_all()
    finish = world.run_calmly()
    assert (finish.phase, set_aside(world)) == ("failed", [])
    assert f"round-2/{stage} could not be done" in finish.reason
    world.answer = honest
    world.boot()
    for agent in world.agents.values():
        agent.jobs.clear()
        agent.outbox.clear()
        world.register(agent)
    assert world.run_calmly().phase == "done"
    assert world.chosen() == calm_world.chosen()


def test_an_adapter_deleted_too_early_makes_no_reward(make_world: MakeWorld) -> None:
    world = make_world()
    world.join_all()
    wiped: list[str] = []

    def spoil(agent: Any, job: Job, result: Any) -> Any:
        if isinstance(job, AdaptJob) and not wiped and job.purpose == "inner":
            wiped.append(result.adapter.sha256)
        return result

    sabotage(world, spoil)
    carry_out = world.carry_out

    def carry_out_and_wipe(commands: list[Any]) -> None:
        carry_out(commands)
        world.adapters.difference_update(wiped)

    world.carry_out = carry_out_and_wipe
    assert world.run_calmly().phase == "done"
    assert {failure.error_type for failure in failures(world)} == {"StoreError"}
    assert len(set_aside(world)) == 1
