"""A calm run from the first proposal to the last measurement: what is asked, what is scored, what becomes policy."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol.jobs import AdaptJob, CreditJob, EvaluateJob, Job, JobResult, ProposeJob, ProposeResult
from seal_runtime.controller.commands import Commit, KeepPolicy, SendTo
from seal_runtime.controller.events import Tick
from seal_runtime.ledger.records import PolicyRecord, ResultRecord

MakeWorld = Callable[..., Any]


def finished(world: Any) -> Any:
    world.join_all()
    assert world.run_calmly().phase == "done"
    return world


def test_every_self_edit_is_scored_once_and_every_study_completes(calm_world: Any) -> None:
    status = calm_world.state.status(calm_world.now)
    assert (status.phase, status.round, status.policy_version, status.eta_seconds) == ("done", 2, 2, 0.0)
    assert status.items_done == status.items_total == sum(study.num_items for study in status.studies) == 48
    assert all(study.num_scored == study.num_items and study.num_invalid == 0 for study in status.studies)
    evaluated = [record.key.job_id for record in calm_world.results("evaluate")]
    assert len(evaluated) == len(set(evaluated)) == status.items_total - sum(study.num_unparsed for study in status.studies)


def test_a_reward_is_the_mean_grade_and_an_unparsed_edit_scores_zero_without_an_inner_loop(calm_world: Any) -> None:
    record = calm_world.results("evaluate", "round-1")[0]
    grades = [answer.score for answer in record.result.answers]
    assert record.score == pytest.approx(sum(grades) / 3)
    metrics = calm_world.metrics()["round-1"]
    proposals = [edit for record in calm_world.results("propose", "round-1") for edit in record.result.edits]
    bad = [edit for edit in proposals if "bad" in edit.text]
    assert len(bad) == metrics.num_unparsed > 0
    scores = [record.score for record in calm_world.results("evaluate", "round-1")]
    assert metrics.mean_score == pytest.approx(sum(scores) / 8)
    assert len(calm_world.results("adapt", "round-1")) == 8 - len(bad)
    rewards = [
        edit.rewards for group in calm_world.results("credit", "round-1")[0].job.groups for edit in group.edits if "bad" in edit.text
    ]
    assert rewards == [(0.0,)] * len(bad)


def test_a_study_that_ends_between_two_ticks_has_its_time_shares(make_world: MakeWorld) -> None:
    world = make_world()
    world.feed(Tick())
    world.join_all()
    world.now += 0.5
    world.run_calmly()
    assert sum(world.metrics()["round-1"].time_shares.values()) == pytest.approx(1.0)


def test_nothing_but_the_rounds_own_rewards_reaches_credit(calm_world: Any) -> None:
    held_out = ("test", "validation", "known", "scripted")
    for record in calm_world.results("credit"):
        assert {group.context_id for group in record.job.groups} <= {f"reward-{index}" for index in range(6)}
        assert not any(word in repr(record.job) for word in held_out)
    for record in calm_world.results("policy"):
        assert not any(word in repr(record.job.sequences) for word in held_out)


def test_policies_are_chains_and_jobs_name_the_version_they_belong_to(calm_world: Any) -> None:
    policies = [record for record in calm_world.records if isinstance(record, PolicyRecord)]
    updates = [record.result.adapter for record in calm_world.results("policy")]
    assert [(p.version, p.parent, p.round, p.adapter_sha256) for p in policies] == [
        (0, -1, 0, ""), (1, 0, 1, updates[0].sha256), (2, 1, 2, updates[1].sha256),
    ]  # fmt: skip
    for record in calm_world.results():
        if not isinstance(record.job, CreditJob):
            assert record.job.policy.version == record.policy_version
            assert record.job.policy.chain == tuple(updates[: record.policy_version])
    kept = [command for command in calm_world.commands if isinstance(command, KeepPolicy)]
    assert [(keep.version, keep.chain) for keep in kept] == [(0, ()), (1, tuple(updates[:1])), (2, tuple(updates))]


def test_inner_adapters_are_deleted_after_their_grade_and_policies_are_not(calm_world: Any, make_world: MakeWorld) -> None:
    updates = {record.result.adapter.sha256 for record in calm_world.results("policy")}
    assert calm_world.adapters == updates
    keeper = finished(make_world(run={"keep_adapters": "all"}))
    assert len(keeper.adapters) == len(keeper.results("adapt")) + 2


def test_a_job_is_sent_after_the_commits_that_it_rests_on(calm_world: Any) -> None:
    committed: set[str] = set()
    for command in calm_world.commands:
        if isinstance(command, Commit) and isinstance(command.record, ResultRecord):
            committed.add(command.record.key.job_id)
        if isinstance(command, SendTo) and isinstance(getattr(command.message, "job", None), EvaluateJob):
            job = command.message.job
            assert job.adapter is None or job.job_id.replace("/evaluate", "/adapt") in committed


def test_the_equal_step_control_copies_the_mean_steps_of_the_last_policys_edits(calm_world: Any) -> None:
    steps: dict[str, list[int]] = {}
    for record in calm_world.results("adapt", "heldout-v2"):
        steps.setdefault(record.key.context_id, []).append(record.result.num_steps)
    controls = calm_world.results("adapt", "passage-only-equal-steps")
    assert len(controls) == 3
    for record in controls:
        own = steps.get(record.key.context_id) or [number for numbers in steps.values() for number in numbers]
        assert record.job.optim.num_steps == int(sum(own) / len(own) + 0.5)
        assert [sequence.completion for sequence in record.job.sequences] == [f"context {record.key.context_id.replace('-', ' ')}"]
        assert record.policy_version == 0
    assert all(record.job.optim.num_steps == 0 for record in calm_world.results("adapt", "passage-only"))


def test_replicates_have_seeds_of_their_own_and_the_reward_is_their_mean(make_world: MakeWorld) -> None:
    world = finished(make_world(algorithm={"replicates": 3, "contexts_per_round": 2}, run={"rounds": 1}))
    adapts = world.results("adapt", "round-1")
    assert len({record.job.seed for record in adapts}) == len(adapts) >= 6
    for group in world.results("credit")[0].job.groups:
        for edit in group.edits:
            scores = [
                record.score
                for record in sorted(world.results("evaluate", "round-1"), key=lambda record: record.key.replicate)
                if (record.key.context_id, record.key.edit_index) == (group.context_id, edit.edit_index)
            ]
            assert edit.rewards == (tuple(scores) or (0.0, 0.0, 0.0))
    assert world.metrics()["round-1"].num_items == 4


def test_improved_selection_gets_a_baseline_for_each_context(make_world: MakeWorld) -> None:
    world = finished(make_world(algorithm={"select": "improved"}))
    for number in (1, 2):
        scores = {record.key.context_id: record.score for record in world.results("evaluate", f"baseline-v{number - 1}")}
        groups = world.results("credit", f"round-{number}")[0].job.groups
        assert {group.context_id: group.baseline for group in groups} == scores
        assert len(scores) == 4


def test_a_round_that_teaches_nothing_gives_a_version_with_its_parents_chain(make_world: MakeWorld) -> None:
    world = make_world()

    def answer(agent: object, job: Job) -> JobResult:
        result = world_answer(agent, job)
        if isinstance(job, ProposeJob) and isinstance(result, ProposeResult) and job.policy.version == 0:
            silent = [type(edit)(text="", token_ids=(), logprobs=(), finish_reason="stop") for edit in result.edits]
            return ProposeResult(edits=tuple(silent), prompt_tokens=1, prompt_truncated=0)
        return result

    world_answer, world.answer = world.answer, answer
    finished(world)
    policies = [record for record in world.records if isinstance(record, PolicyRecord)]
    assert [(policy.version, policy.parent, policy.adapter_sha256 != "") for policy in policies] == [
        (0, -1, False),
        (1, 0, False),
        (2, 1, True),
    ]
    assert world.results("propose", "round-2")[0].job.policy.chain == ()
    assert len(world.results("policy")) == 1


def test_the_same_seed_gives_the_same_run_and_another_seed_another(calm_world: Any, make_world: MakeWorld) -> None:
    other_trainers = make_world()
    other_trainers.join("critic", "critic-9", capacity=1)
    other_trainers.join("evaluator", "evaluator-7", capacity=1)
    other_trainers.join("trainer", "trainer-5", capacity=2)
    other_trainers.join("proposer", "proposer-3", capacity=1)
    assert other_trainers.run_calmly().phase == "done"
    assert other_trainers.chosen() == calm_world.chosen()
    assert finished(make_world(run={"seed": 8})).chosen() != calm_world.chosen()


def test_a_task_whose_code_fails_costs_its_item_and_not_the_run(make_world: MakeWorld, make_task: Callable[..., Any]) -> None:
    task = make_task()
    honest = task.training_sequences

    def fails_on_one(instance: Any, edit: str) -> Any:
        if instance.instance_id == "test-1" and edit == "":
            raise KeyError("a bug")
        return honest(instance, edit)

    task.training_sequences = fails_on_one
    world = finished(make_world(task))
    assert world.metrics()["passage-only"].num_invalid == 1
    assert "test-1" not in {record.key.context_id for record in world.results("evaluate", "passage-only")}
    assert "KeyError" in world.logged("edit_set_aside")[0].fields["reason"]


def test_the_status_counts_what_waits_and_who_works(make_world: MakeWorld) -> None:
    world = make_world()
    status = world.state.status(world.now)
    assert (status.phase, status.items_done, status.eta_seconds) == ("starting", 0, None)
    assert status.jobs_waiting == {"proposer": 7, "trainer": 6, "evaluator": 4, "critic": 0}
    agent = world.join("trainer", "trainer-0", capacity=2)
    world.now += 3.0
    status = world.state.status(world.now)
    assert (status.phase, status.jobs_waiting["trainer"]) == ("running", 4)
    (shown,) = status.agents
    assert (shown.agent, shown.state, shown.job_ids, shown.busy_seconds) == ("trainer-0", "busy", tuple(agent.jobs), 3.0)
    assert isinstance(next(iter(agent.jobs.values())).job, AdaptJob)
    world.work(agent, next(iter(agent.jobs)))
    world.deliver(agent)
    assert world.state.status(world.now).agents[0].jobs_done == 1


def test_the_time_left_is_estimated_once_there_is_something_to_go_by(make_world: MakeWorld) -> None:
    world = make_world()
    world.join_all()
    estimates = []
    for _ in range(200):
        if world.finish is not None:
            break
        for agent in list(world.agents.values()):
            for job_id in list(agent.jobs)[:1]:
                world.work(agent, job_id)
            world.deliver(agent)
        world.pass_time(1.0)
        estimates.append(world.state.status(world.now).eta_seconds)
    assert estimates[0] is None
    known = [estimate for estimate in estimates if estimate is not None]
    assert len(known) > 10
    assert known[len(known) // 2] > known[-2] >= 0.0
