"""How a self-edit begins: drawn again within the bound, trained as it chooses, or examined on the policy alone."""

from typing import Any

import pytest
from toy_task import ChoosyToyTask, do_job

from protocol.jobs import AdaptJob, CreditJob, EvaluateJob, Job, JobResult, ProposeJob, ProposeResult, TrainingSequence
from seal_runtime.config.topology import Topology
from seal_runtime.controller.inner_loops import Loop, inner_loops
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import InnerLoop, Instance, Untrained

ALL_BAD = {"algorithm": {"contexts_per_round": 1, "edits_per_context": 2}, "evaluation": {"num_contexts": 0}, "run": {"rounds": 1}}


def with_text(world: Any, text: str) -> None:
    """Let proposers write one and the same text."""

    def answer(agent: object, job: Job) -> JobResult:
        result = do_job(job, world.topology)
        if isinstance(result, ProposeResult):
            edit = result.edits[0]
            same = type(edit)(text=text, token_ids=edit.token_ids, logprobs=edit.logprobs, finish_reason="stop")
            return ProposeResult(edits=(same,) * len(result.edits), prompt_tokens=1, prompt_truncated=0)
        return result

    world.answer = answer


def test_a_text_that_never_parses_is_drawn_as_often_as_allowed_and_then_gets_the_lowest_reward(make_world: Any) -> None:
    world = make_world(ChoosyToyTask(retention=0), proposer={"max_resamples": 3}, **ALL_BAD)
    with_text(world, "bad")
    world.join_all()
    assert world.run_calmly().phase == "done"
    proposals = world.results("propose")
    context = proposals[0].key.context_id
    again = [f"round-1/{context}/e{edit}/s{number}/propose" for edit in range(2) for number in (1, 2, 3)]
    assert sorted(record.key.job_id for record in proposals) == sorted([f"round-1/{context}/propose", *again])
    assert world.results("adapt") == world.results("evaluate") == []
    (credit,) = world.results("credit")
    assert isinstance(credit.job, CreditJob)
    assert [edit.rewards for edit in credit.job.groups[0].edits] == [(0.0,), (0.0,)]
    assert world.metrics()["round-1"].num_unparsed == 2
    assert world.metrics()["round-1"].texts.num_written == 2
    assert [event.fields["resample"] for event in world.logged("edit_resampled")].count(3) == 2


def test_each_draw_has_a_seed_of_its_own_place(make_world: Any) -> None:
    world = make_world(ChoosyToyTask(retention=0), proposer={"max_resamples": 2}, **ALL_BAD)
    with_text(world, "bad")
    world.join_all()
    world.run_calmly()
    for record in world.results("propose"):
        assert isinstance(record.job, ProposeJob)
        place = (record.key.study, record.key.context_id)
        if record.key.edit_index >= 0:
            assert record.job.seeds == (derive_seed(7, "propose", *place, record.key.edit_index, record.key.replicate),)
        else:
            assert record.job.seeds == tuple(derive_seed(7, "propose", *place, index) for index in range(2))
    assert len({seed for record in world.results("propose") for seed in record.job.seeds}) == 6


def test_a_draw_that_is_set_aside_loses_its_edit_alone(make_world: Any) -> None:
    world = make_world(ChoosyToyTask(), proposer={"max_resamples": 2}, limits={"max_attempts": 2})
    usual = world.answer
    world.answer = lambda agent, job: None if "/e0/s1/propose" in job.job_id and job.job_id.startswith("heldout") else usual(agent, job)
    world.join_all()
    assert world.run_calmly().phase == "done"
    lost = {record.job_id for record in world.records if type(record).__name__ == "SetAsideRecord"}
    assert lost
    assert all(job_id.endswith("/e0/s1/propose") for job_id in lost)
    for study in ("heldout-v0", "heldout-v1", "heldout-v2"):
        metrics = world.metrics()[study]
        assert metrics.num_invalid == sum(job_id.startswith(f"{study}/") for job_id in lost)
        assert metrics.num_scored + metrics.num_invalid == metrics.num_items


def test_an_edit_that_trains_nothing_is_examined_on_the_policy_alone_and_scored(make_world: Any) -> None:
    world = make_world(ChoosyToyTask(retention=0), **ALL_BAD)
    with_text(world, "fact 6")
    world.join_all()
    assert world.run_calmly().phase == "done"
    assert world.results("adapt") == []
    evaluations = world.results("evaluate")
    assert [record.job.adapter for record in evaluations] == [None, None]
    (credit,) = world.results("credit")
    assert [edit.rewards for edit in credit.job.groups[0].edits] == [(record.score,) for record in evaluations]
    assert [event.fields["reason"] for event in world.logged("edit_untrained")] == ["a third trains nothing"] * 2


def test_an_edit_that_chooses_its_loop_keeps_the_trainers_other_settings(make_world: Any) -> None:
    world = make_world(ChoosyToyTask(retention=0), trainer={"optim": {"batch_size": 2, "schedule": "cosine", "warmup_steps": 1}}, **ALL_BAD)
    with_text(world, "fact 4")
    world.join_all()
    assert world.run_calmly().phase == "done"
    first, second = (record.job for record in world.results("adapt"))
    assert isinstance(first, AdaptJob)
    # 3 sequences in batches of 2 are 2 steps an epoch, 1.5 epochs are 3 steps
    assert (first.optim.num_steps, first.optim.epochs, first.optim.learning_rate) == (3, 2, 0.005)
    assert (first.optim.batch_size, first.optim.schedule, first.optim.warmup_steps) == (2, "cosine", 1)
    assert first.sequences != second.sequences, "each inner loop's data has a seed of its own"
    assert all(sequence.loss_on_prompt for sequence in first.sequences)


def test_answers_end_and_are_scored_as_the_task_says_and_retention_keeps_the_mean(make_world: Any) -> None:
    world = make_world(ChoosyToyTask(), proposer={"max_resamples": 2})
    world.join_all()
    assert world.run_calmly().phase == "done"
    for record in world.results("evaluate"):
        assert isinstance(record.job, EvaluateJob)
        assert record.job.stop == "#"
        assert record.job.scoring == ("mean" if record.key.study.startswith("retention") else "task")


def test_a_plain_tasks_jobs_end_at_a_newline_and_score_the_mean(make_world: Any, calm_world: Any) -> None:
    jobs = [record.job for record in calm_world.results("evaluate")]
    assert {(job.stop, job.scoring) for job in jobs} == {("\n", "mean")}


class _Chooses(ChoosyToyTask):
    def __init__(self, chosen: InnerLoop | Untrained) -> None:
        super().__init__()
        self.chosen = chosen

    def inner_loop(self, instance: Instance, edit: str, seed: int) -> InnerLoop | Untrained:
        return self.chosen


@pytest.mark.parametrize(
    ("epochs", "warmup_steps", "num_sequences", "steps"),
    [(2.0, 11, 5, 6), (0.5, 0, 5, 2), (1.0, 0, 1, 1), (1.0, 11, 1, None), (0.0, 0, 5, None), (1.0, 0, 0, None)],
)
def test_the_steps_of_a_chosen_loop(epochs: float, warmup_steps: int, num_sequences: int, steps: int | None) -> None:
    sequence = TrainingSequence(prompt="p", completion="c", weight=1.0)
    task = _Chooses(InnerLoop(sequences=(sequence,) * num_sequences, learning_rate=0.01, epochs=epochs))
    trainer = Topology.model_validate({"trainer": {"optim": {"batch_size": 2, "warmup_steps": warmup_steps}}}).trainer
    (loop,) = inner_loops(task, trainer, task.instances("reward")[0], "an edit", [1], 0)
    assert (loop.optim.num_steps if isinstance(loop, Loop) else None) == steps


def test_the_control_without_an_edit_is_trained_as_the_topology_says() -> None:
    task = _Chooses(Untrained(reason="never asked"))
    trainer = Topology().trainer
    instance = task.instances("reward")[0]
    (loop,) = inner_loops(task, trainer, instance, None, [1], 9)
    assert isinstance(loop, Loop)
    assert loop.sequences == task.training_sequences(instance, "")
    assert (loop.optim.num_steps, loop.optim.learning_rate) == (9, trainer.optim.learning_rate)
    assert inner_loops(task, trainer, instance, "", [1], 0) == [Untrained(reason="never asked")], "an empty text of a policy is an edit"
