"""Toy runs for the tests of the controller."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "protocol"))
sys.path.insert(0, str(Path(__file__).parent))

from fake_world import World
from toy_task import ChoosyToyTask, ToyTask, toy_topology

from seal_runtime.config.topology import Topology


@pytest.fixture(scope="session")
def make_topology() -> Callable[..., Topology]:
    return toy_topology


@pytest.fixture(scope="session")
def make_task() -> type[ToyTask]:
    return ToyTask


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    def make(task: ToyTask | None = None, **sections: dict[str, object]) -> World:
        return World(toy_topology(**sections), task)

    return make


@pytest.fixture(scope="session")
def calm_lagged_world() -> World:
    """A finished run of three rounds in which each uses the policy before the newest."""
    world = World(toy_topology(run={"rounds": 3}, algorithm={"max_policy_lag": 1}))
    world.join_all()
    assert world.run_calmly().phase == "done"
    return world


@pytest.fixture(scope="session")
def calm_choosy_world() -> World:
    """A finished run of ChoosyToyTask whose edits may be drawn three times."""
    world = World(toy_topology(proposer={"max_resamples": 2}, algorithm={"replicates": 2}), ChoosyToyTask())
    world.join_all()
    assert world.run_calmly().phase == "done"
    return world


@pytest.fixture(scope="session")
def calm_world() -> World:
    """A finished run that nothing disturbed."""
    world = World(toy_topology())
    world.join_all()
    assert world.run_calmly().phase == "done"
    return world
