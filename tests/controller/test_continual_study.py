"""Continual self-edits: each adapter is merged before the next is trained, and every context is examined each time."""

from collections.abc import Callable
from typing import Any

from chaotic_world import check_books
from fake_world import World
from test_joint_study import with_edits
from toy_task import ToyTask, do_job, toy_topology

from protocol.jobs import AdaptResult, EvaluateJob, ProposeJob
from seal_runtime.controller.plan import make_plan
from seal_runtime.ledger.records import SetAsideRecord
from seal_runtime.tasks.base import InnerLoop, Instance, Untrained

Answer = Callable[[Any, Any], Any]


def continual(num_sequences: int = 2, sequence_length: int = 3, rounds: int = 0) -> dict[str, dict[str, object]]:
    """Return the settings of a run that measures nothing else."""
    config = {"num_sequences": num_sequences, "sequence_length": sequence_length}
    return {"run": {"rounds": rounds}, "evaluation": {"num_contexts": 0, "retention": False, "continual": config}}


def world_of(answer: Answer | None = None, *, test: int = 7, max_attempts: int = 1, **settings: Any) -> World:
    world = World(toy_topology(**{**continual(**settings), "limits": {"max_attempts": max_attempts}}), ToyTask(test=test))
    if answer is not None:
        world.answer = answer
    else:
        world.answer = lambda agent, job: with_edits(job, world, "good") if isinstance(job, ProposeJob) else do_job(job, world.topology)
    return world


def finished(world: World) -> World:
    world.join_all()
    assert world.run_calmly().phase == "done"
    check_books(world)
    assert not world.adapters, "nothing is kept of a sequence that is over"
    return world


def sequence_ids(world: World) -> list[list[str]]:
    (study,) = [study for study in world.state.plan.studies if study.name == "continual-v0"]
    return [[instance.instance_id for instance in instances] for instances in study.sequences()]


def test_sequences_share_no_context_follow_the_seed_and_are_the_same_for_every_policy() -> None:
    def drawn(seed: int) -> dict[str, list[str]]:
        settings = continual(rounds=2)
        plan = make_plan(toy_topology(**{**settings, "run": {"rounds": 2, "seed": seed}}), ToyTask(test=7))
        return {s.name: [i.instance_id for i in s.instances] for s in plan.studies if s.purpose == "continual"}

    first = drawn(7)
    assert list(first) == ["continual-v0", "continual-v2"]
    assert first["continual-v0"] == first["continual-v2"]
    assert len(set(first["continual-v0"])) == 6
    assert drawn(7) == first
    assert drawn(8) != first


def test_fewer_sequences_are_made_when_there_are_too_few_contexts_and_that_is_said() -> None:
    plan = make_plan(toy_topology(**continual(num_sequences=9)), ToyTask(test=7))
    assert plan.study("continual-v0").num_items == 6
    assert any("9 continual sequences of 3" in note and "using 2" in note for note in plan.notes)


def test_every_row_is_the_model_so_far_with_the_last_adapter_on_top() -> None:
    world = finished(world_of())
    adapters = {r.key.context_id: r.result.adapter for r in world.results("adapt") if isinstance(r.result, AdaptResult)}
    rows = {(r.key.context_id, r.key.replicate): r.job for r in world.results("evaluate")}
    assert len(rows) == 2 * 4 * 3
    for ids in sequence_ids(world):
        merged = [adapters[context_id] for context_id in ids]
        for (context_id, row), job in rows.items():
            assert isinstance(job, EvaluateJob)
            if context_id in ids:
                assert list(job.policy.chain) == merged[: max(0, row - 1)]
                assert job.adapter == (merged[row - 1] if row else None)
                assert job.policy.version == 0
        for step, context_id in enumerate(ids):
            (propose,) = [r.job for r in world.results("propose") if r.key.context_id == context_id]
            (adapt,) = [r for r in world.results("adapt") if r.key.context_id == context_id]
            assert list(propose.policy.chain) == list(adapt.job.policy.chain) == merged[:step]
            assert adapt.key.replicate == step + 1


def test_an_edit_that_cannot_be_parsed_leaves_the_model_as_it_is_and_its_row_is_measured() -> None:
    world = world_of()
    (ids, _) = sequence_ids(world)
    good = world.answer
    number = ids[1].rpartition("-")[2]
    world.answer = lambda agent, job: (
        with_edits(job, world, "bad") if isinstance(job, ProposeJob) and job.prompt == f"propose test {number}" else good(agent, job)
    )
    finished(world)
    rows: dict[Any, Any] = {(r.key.context_id, r.key.replicate): r.job for r in world.results("evaluate")}
    first, second, third = (rows[ids[0], row] for row in (1, 2, 3))
    assert all(isinstance(job, EvaluateJob) for job in (first, second, third))
    assert (first.policy, first.adapter) == (second.policy, second.adapter)
    assert len(third.policy.chain) == 1
    (status,) = world.state.status(world.now).studies
    assert (status.num_unparsed, status.num_scored) == (1, 6)


def test_a_lost_inner_loop_ends_its_sequence_and_no_other() -> None:
    world = world_of()
    ids, others = sequence_ids(world)
    good = world.answer
    world.answer = lambda agent, job: None if job.job_id == f"continual-v0/{ids[1]}/e0/r2/adapt" else good(agent, job)
    finished(world)
    rows = {(r.key.context_id, r.key.replicate) for r in world.results("evaluate")}
    assert rows == {(c, row) for c in ids for row in (0, 1)} | {(c, row) for c in others for row in range(4)}
    (status,) = world.state.status(world.now).studies
    assert (status.num_scored, status.num_invalid) == (3, 3)
    assert len([record for record in world.records if isinstance(record, SetAsideRecord)]) == 1
    (event,) = world.logged("sequence_ended_early")
    assert event.fields["steps"] == 1


def test_a_lost_examination_is_one_missing_cell() -> None:
    world = world_of()
    ids, _ = sequence_ids(world)
    good = world.answer
    world.answer = lambda agent, job: None if job.job_id == f"continual-v0/{ids[0]}/e0/r2/evaluate" else good(agent, job)
    finished(world)
    assert len(world.results("evaluate")) == 2 * 4 * 3 - 1
    (status,) = world.state.status(world.now).studies
    assert (status.num_scored, status.num_invalid) == (6, 0)


def test_the_score_is_what_is_known_at_the_end_and_its_error_is_over_sequences() -> None:
    world = finished(world_of())
    scores = {(r.key.context_id, r.key.replicate): r.score for r in world.results("evaluate")}
    means = [sum(scores[context_id, 3] or 0.0 for context_id in ids) / 3 for ids in sequence_ids(world)]
    (status,) = world.state.status(world.now).studies
    assert status.mean_score is not None
    assert status.score_stderr is not None
    assert abs(status.mean_score - sum(means) / 2) < 1e-12
    assert abs(status.score_stderr - abs(means[0] - means[1]) / 2) < 1e-12


class ChoosingTask(ToyTask):
    """A task whose edits choose their learning rate; one of them trains nothing."""

    def __init__(self, untrained: str) -> None:
        super().__init__(test=7)
        self.untrained = untrained

    def inner_loop(self, instance: Instance, edit: str, seed: int) -> InnerLoop | Untrained:
        if instance.instance_id == self.untrained:
            return Untrained(reason="asked to train nothing")
        return InnerLoop(sequences=self.training_sequences(instance, edit), learning_rate=0.125, epochs=2)


def test_an_edit_that_chooses_its_inner_loop_is_trained_so_and_one_that_trains_nothing_changes_nothing() -> None:
    plain = world_of()
    (ids, others) = sequence_ids(plain)
    world = World(plain.topology, ChoosingTask(ids[1]))
    world.answer = lambda agent, job: with_edits(job, world, "good") if isinstance(job, ProposeJob) else do_job(job, world.topology)
    finished(world)
    adapts: dict[str, Any] = {record.key.context_id: record.job for record in world.results("adapt")}
    assert set(adapts) == {ids[0], ids[2], *others}
    assert {job.optim.learning_rate for job in adapts.values()} == {0.125}
    assert len(adapts[ids[2]].policy.chain) == 1
    assert len(world.results("evaluate")) == 2 * 4 * 3
