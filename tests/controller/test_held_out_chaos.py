"""Continued pretraining and continual self-edits under fire: the same jobs and scores, whatever dies, comes twice or starts again."""

import random
from typing import Any

import pytest
from chaotic_world import TIGHT, check_books, play
from fake_world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_exhaustive import ROLES, explore
from toy_task import ToyTask, toy_topology

from seal_runtime.ledger.records import SetAsideRecord

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STUDIES: dict[str, object] = {
    "num_contexts": 0,
    "retention": False,
    "cpt": {"num_contexts": 3, "edits_per_context": 2, "replicates": 2},
    "continual": {"num_sequences": 2, "sequence_length": 2},
}
NUM_ITEMS = 8 + 2 * (3 + 4) + 2 * 3 + 3
"""A round's self-edits, the two policies' contexts, the adapters of the baselines, and no update."""


def new_world(**sections: Any) -> World:
    return World(toy_topology(**{"run": {"rounds": 1}, "evaluation": STUDIES, **sections}), ToyTask(test=5))


def books(world: World) -> dict[str, Any]:
    """Return everything that a seed determines."""
    return {record.key.job_id: (record.job, record.score) for record in world.results()}


@pytest.fixture(scope="module")
def calm_books() -> dict[str, Any]:
    world = new_world()
    world.join_all()
    assert world.run_calmly().phase == "done"
    return books(world)


@given(source=st.randoms(use_true_random=True), limits=st.sampled_from([{}, TIGHT]))
@FEW
def test_a_disturbed_run_does_the_jobs_of_a_calm_one(calm_books: dict[str, Any], source: random.Random, limits: dict[str, object]) -> None:
    world = new_world(limits=limits)
    play(world, source, gentle=True, num_actions=400)
    assert world.finish is not None
    assert world.finish.phase == "done"
    assert books(world) == calm_books
    assert world.state.status(world.now).items_done == NUM_ITEMS


@given(source=st.randoms(use_true_random=True))
@FEW
def test_without_mercy_the_run_still_ends_and_the_books_are_right(source: random.Random) -> None:
    world = new_world(limits={"max_attempts": 2})
    play(world, source, gentle=False, num_actions=500)
    assert world.finish is not None
    if world.finish.phase == "done":
        status = world.state.status(world.now)
        assert status.items_done == status.items_total == NUM_ITEMS


@pytest.mark.parametrize("num_steps", [5, 30, 55, 80])
def test_a_run_taken_up_again_does_the_same_jobs(calm_books: dict[str, Any], num_steps: int) -> None:
    world = new_world()
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
    check_books(world)
    assert books(world) == calm_books


SMALL: list[tuple[dict[str, object], int]] = [
    ({"cpt": {"num_contexts": 2, "edits_per_context": 2, "baselines": False}}, 2),
    ({"continual": {"num_sequences": 1, "sequence_length": 2}}, 1),
]


@pytest.mark.parametrize(("studies", "num_misfortunes"), SMALL, ids=["cpt", "continual"])
def test_every_order_of_events_ends_with_the_same_books(studies: dict[str, object], num_misfortunes: int) -> None:
    evaluation = {"num_contexts": 0, "retention": False, **studies}
    topology = toy_topology(run={"rounds": 0}, evaluation=evaluation, limits={"max_attempts": 4})
    calm = World(topology)
    calm.join_all()
    assert calm.run_calmly().phase == "done"
    first = World(topology)
    for role in ROLES[:3]:
        first.join(role, f"{role}-0", capacity=2, incarnation=f"{role}-0")
    assert explore(first, num_misfortunes, lambda world: _end(world, books(calm))) > 100


def _end(world: World, calm: dict[str, Any]) -> None:
    """Let the world end calmly, with others for those that were drained."""
    world.sends_fail_to.clear()
    for role in ROLES[:3]:
        world.join(role, f"{role}-late", capacity=2, incarnation=f"{role}-late")
    assert world.run_calmly().phase == "done"
    check_books(world)
    assert not any(isinstance(record, SetAsideRecord) for record in world.records)
    assert books(world) == calm
    assert not world.adapters
