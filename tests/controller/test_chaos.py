"""Whatever order things happen in, and whatever dies: nothing is lost, nothing counts twice, the run ends, and the same edits are chosen.

The interleavings come from hypothesis; the disturbances of the first test are kept below the limits at which a job is given up, since
giving up a job rightly changes the result.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from chaotic_world import TIGHT, check_books, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_task import ChoosyToyTask

from seal_runtime.errors import LedgerError
from seal_runtime.ledger.records import SetAsideRecord

MakeWorld = Callable[..., Any]
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(source=st.randoms(use_true_random=True), limits=st.sampled_from([{}, TIGHT]))
@SLOW
def test_a_disturbed_run_chooses_the_same_edits_as_a_calm_one(
    make_world: MakeWorld, calm_world: Any, source: random.Random, limits: dict[str, object]
) -> None:
    world = make_world(limits=limits)
    play(world, source, gentle=True, num_actions=400)
    assert world.finish.phase == "done"
    assert world.chosen() == calm_world.chosen()
    assert world.state.status(world.now).items_done == 48
    assert [record for record in world.records if isinstance(record, SetAsideRecord)] == []
    scores = {record.key.job_id: record.score for record in world.results("evaluate")}
    assert scores == {record.key.job_id: record.score for record in calm_world.results("evaluate")}


@given(source=st.randoms(use_true_random=True), limits=st.sampled_from([{}, TIGHT]))
@SLOW
def test_a_disturbed_run_with_policy_lag_does_the_jobs_of_a_calm_one(
    make_world: MakeWorld, calm_lagged_world: Any, source: random.Random, limits: dict[str, object]
) -> None:
    world = make_world(run={"rounds": 3}, algorithm={"max_policy_lag": 1}, limits=limits)
    play(world, source, gentle=True, num_actions=500)
    assert world.finish.phase == "done"
    assert world.chosen() == calm_lagged_world.chosen()
    assert {record.key.job_id: record.job for record in world.results()} == {
        record.key.job_id: record.job for record in calm_lagged_world.results()
    }


@given(source=st.randoms(use_true_random=True), limits=st.sampled_from([{}, TIGHT]), lag=st.integers(0, 2))
@SLOW
def test_without_mercy_the_run_still_ends_and_the_books_are_right(
    make_world: MakeWorld, source: random.Random, limits: dict[str, object], lag: int
) -> None:
    world = make_world(limits={"max_attempts": 2, **limits}, algorithm={"max_policy_lag": lag})
    play(world, source, gentle=False, num_actions=600)
    assert world.finish.phase in ("done", "failed")
    if world.finish.phase == "done":
        status = world.state.status(world.now)
        assert status.items_done == status.items_total == 48


@given(source=st.randoms(use_true_random=True), limits=st.sampled_from([{}, TIGHT]))
@SLOW
def test_a_disturbed_run_of_edits_that_are_drawn_again_or_choose_their_training_does_the_jobs_of_a_calm_one(
    make_world: MakeWorld, calm_choosy_world: Any, source: random.Random, limits: dict[str, object]
) -> None:
    world = make_world(ChoosyToyTask(), proposer={"max_resamples": 2}, algorithm={"replicates": 2}, limits=limits)
    play(world, source, gentle=True, num_actions=400)
    assert world.finish.phase == "done"
    assert [record for record in world.records if isinstance(record, SetAsideRecord)] == []
    assert {record.key.job_id: (record.job, record.score) for record in world.results()} == {
        record.key.job_id: (record.job, record.score) for record in calm_choosy_world.results()
    }


@pytest.mark.parametrize("num_steps", [1, 7, 20, 33, 60, 85, 95])
def test_a_run_taken_up_again_chooses_the_same_edits(make_world: MakeWorld, calm_world: Any, num_steps: int) -> None:
    """The controller and all agents die after so many results; others take up the run."""
    world = make_world()
    world.join_all()
    while len(world.results()) < num_steps:
        for agent in list(world.agents.values()):
            for job_id in list(agent.jobs)[:1]:
                world.work(agent, job_id)
            world.deliver(agent)
    committed = len(world.results())
    world.agents.clear()
    world.boot()
    assert len(world.results()) == committed
    world.join_all(trainers=1)
    assert world.run_calmly().phase == "done"
    check_books(world)
    assert world.chosen() == calm_world.chosen()
    assert [record.job for record in world.results("policy")] == [record.job for record in calm_world.results("policy")]


def test_a_finished_run_taken_up_again_is_finished_at_once(make_world: MakeWorld) -> None:
    world = make_world()
    world.join_all()
    world.run_calmly()
    num_records = len(world.results())
    world.boot()
    assert world.finish.phase == "done"
    assert len(world.results()) == num_records


def test_a_ledger_of_other_settings_is_refused(make_world: MakeWorld, make_topology: Callable[..., Any]) -> None:
    world = make_world()
    world.join_all()
    world.run_calmly()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"trainer": {"optim": {"learning_rate": 0.5}}}, "ask differently"),
        ({"run": {"rounds": 1}}, "never ask for"),
    ]
    for changed, message in changes:
        world.topology = make_topology(**changed)
        with pytest.raises(LedgerError, match=message):
            world.boot()
