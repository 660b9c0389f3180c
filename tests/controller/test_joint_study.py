"""Continued pretraining: one adapter for many contexts, whatever order things happen in."""

from collections.abc import Callable
from typing import Any

import pytest
from chaotic_world import check_books
from fake_world import FakeAgent, World
from toy_task import ToyTask, do_job, toy_topology

from protocol.jobs import AdaptJob, EvaluateJob, ProposeJob, TrainingSequence
from seal_runtime.controller import joint_study
from seal_runtime.errors import EditParseError
from seal_runtime.ledger.records import SetAsideRecord
from seal_runtime.tasks.base import Instance

Make = Callable[..., Any]


def cpt(**changes: object) -> dict[str, dict[str, object]]:
    """Return the settings of a run that measures nothing else."""
    config = {"num_contexts": 4, "edits_per_context": 3, **changes}
    return {"run": {"rounds": 0}, "evaluation": {"num_contexts": 0, "retention": False, "cpt": config}}


def finished(world: World) -> World:
    world.join_all()
    assert world.run_calmly().phase == "done"
    check_books(world)
    return world


def texts(job: Any) -> list[str]:
    assert isinstance(job, AdaptJob)
    return [sequence.completion for sequence in job.sequences]


def test_one_adapter_learns_every_edit_and_each_context_is_examined_with_it() -> None:
    world = finished(World(toy_topology(**cpt(baselines=False))))
    proposals = {record.key.context_id: record.result for record in world.results("propose")}
    (adapt,) = world.results("adapt")
    assert adapt.key.job_id == "cpt-v0/r0/adapt"
    for context_id, result in proposals.items():
        index = context_id.rpartition("-")[2]
        lines = [line for edit in result.edits if edit.text != "bad" for line in edit.text.split("\n")]
        assert set(lines) <= set(texts(adapt.job))
        assert texts(adapt.job).count(f"context test {index}") == 1
    examined = world.results("evaluate")
    assert [record.key.job_id for record in sorted(examined, key=lambda record: record.key.context_id)] == [
        f"cpt-v0/test-{index}/e0/r0/evaluate" for index in range(4)
    ]
    assert all(isinstance(record.job, EvaluateJob) and record.job.adapter == adapt.result.adapter for record in examined)
    assert not world.adapters, "the adapter is deleted after the last examination"


def test_the_baselines_have_their_own_hyper_parameters() -> None:
    world = finished(World(toy_topology(**{**cpt(replicates=2), "run": {"rounds": 1}})))
    optims = {record.key.study: record.job.optim for record in world.results("adapt") if record.key.study.startswith("cpt-")}
    assert {study: (optim.learning_rate, optim.batch_size, optim.epochs) for study, optim in optims.items()} == {
        "cpt-v0": (1e-3, 8, 3),
        "cpt-v1": (1e-3, 4, 3),
        "cpt-passage-only": (1e-4, 8, 3),
        "cpt-scripted": (1e-3, 8, 3),
    }
    adapts = {record.key.job_id: record.job for record in world.results("adapt")}
    assert adapts["cpt-v1/r0/adapt"].policy.version == 1
    assert adapts["cpt-v0/r0/adapt"].seed != adapts["cpt-v0/r1/adapt"].seed
    assert texts(adapts["cpt-passage-only/r0/adapt"]) == [f"context test {index}" for index in range(4)]
    assert texts(adapts["cpt-scripted/r0/adapt"])[:2] == ["scripted title test 0", "context test 0"]
    assert {record.key.replicate for record in world.results("evaluate", "cpt-no-update")} == {0}
    assert world.metrics()["cpt-v1"].num_scored == 4


class Documents(ToyTask):
    """A task that makes an edit one document, and has three edits of others for each context."""

    def document_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        if "bad" in edit:
            raise EditParseError("expected a good edit")
        return tuple(TrainingSequence(prompt="", completion=text, weight=1.0) for text in (edit, instance.context) if text)

    def scripted_edits(self, instance: Instance) -> tuple[str, ...]:
        return tuple(f"{number} of\n{instance.title}" for number in range(3))


def test_a_task_says_what_a_document_is() -> None:
    world = finished(World(toy_topology(**cpt(num_contexts=1, edits_per_context=2)), Documents()))
    (adapt,) = world.results("adapt", "cpt-scripted")
    assert texts(adapt.job) == ["0 of\ntitle test 0", "context test 0", "1 of\ntitle test 0"]
    (adapt,) = world.results("adapt", "cpt-passage-only")
    assert texts(adapt.job) == ["context test 0"]


def test_edits_that_cannot_be_used_are_left_out_and_counted() -> None:
    world = World(toy_topology(**cpt(baselines=False)))
    world.answer = lambda agent, job: with_edits(job, world, "bad" if "test 0" in getattr(job, "prompt", "") else "good")
    finished(world)
    (adapt,) = world.results("adapt")
    assert texts(adapt.job) == ["context test 0", *(text for index in (1, 2, 3) for text in ("good", f"context test {index}"))]
    (status,) = world.state.status(world.now).studies
    assert (status.num_unparsed, status.num_scored, status.num_invalid) == (3, 4, 0)


def with_edits(job: Any, world: World, text: str) -> Any:
    """Do a job; a proposal's edits all have the text."""
    result: Any = do_job(job, world.topology)
    if isinstance(job, ProposeJob):
        for edit in result.edits:
            object.__setattr__(edit, "text", text)
    return result


def test_a_context_without_proposal_is_neither_learned_nor_examined() -> None:
    world = World(toy_topology(**cpt(baselines=False), limits={"max_attempts": 1}))
    world.answer = lambda agent, job: None if job.job_id == "cpt-v0/test-2/propose" else do_job(job, world.topology)
    finished(world)
    (adapt,) = world.results("adapt")
    assert "context test 2" not in texts(adapt.job)
    assert {record.key.context_id for record in world.results("evaluate")} == {"test-0", "test-1", "test-3"}
    (status,) = world.state.status(world.now).studies
    assert (status.num_scored, status.num_invalid) == (3, 1)


def test_an_adapter_that_cannot_be_had_costs_its_replicate_only() -> None:
    world = World(toy_topology(**cpt(baselines=False, replicates=2), limits={"max_attempts": 1}))
    world.answer = lambda agent, job: None if job.job_id == "cpt-v0/r1/adapt" else do_job(job, world.topology)
    finished(world)
    (status,) = world.state.status(world.now).studies
    assert (status.num_scored, status.num_invalid) == (4, 0)
    assert {record.key.replicate for record in world.results("evaluate")} == {0}


def test_documents_that_fit_no_message_are_set_aside_with_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_study, "MAX_DOCUMENT_BYTES", 200)
    world = finished(World(toy_topology(**cpt(baselines=False))))
    (record,) = [record for record in world.records if isinstance(record, SetAsideRecord)]
    assert record.job_id == "cpt-v0/r0/adapt"
    assert "lower evaluation.cpt.num_contexts" in record.reason
    assert not world.results("evaluate")
    world.boot()
    assert world.finish is not None


def test_a_task_whose_own_code_fails_costs_the_context() -> None:
    class Broken(ToyTask):
        def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
            if instance.instance_id == "test-1":
                raise RuntimeError("broken")
            return super().training_sequences(instance, edit)

    world = finished(World(toy_topology(**cpt(baselines=False)), Broken()))
    assert [record.job_id for record in world.records if isinstance(record, SetAsideRecord)] == ["cpt-v0/test-1/e0/r0/adapt"]
    assert len(world.results("evaluate")) == 3


def test_examinations_that_share_an_adapter_hold_no_trainer_back() -> None:
    world = World(toy_topology(**cpt(baselines=False, replicates=3), limits={"max_waiting_adapters": 1}))
    proposer, trainer = world.join("proposer", "proposer-0", capacity=8), world.join("trainer", "trainer-0", capacity=1)
    for agent in (proposer, trainer, trainer, trainer):
        work_all(world, agent)
    assert len(world.results("adapt")) == 3


def work_all(world: World, agent: FakeAgent) -> None:
    for job_id in list(agent.jobs):
        world.work(agent, job_id)
    world.deliver(agent)
