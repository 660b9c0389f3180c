"""A controller in the test's thread, and agents as processes that cannot outlive their test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "protocol"))
sys.path.insert(0, str(Path(__file__).parent))

from mini_controller import AgentProcess, MiniController, StartAgent, fake_topology

from protocol.jobs import Role


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[MiniController]:
    """Yield a listening controller of a run with fake engines."""
    running = MiniController(tmp_path, fake_topology())
    yield running
    running.close()


@pytest.fixture
def start_agent(controller: MiniController) -> Iterator[StartAgent]:
    """Yield a function that starts an agent of the controller's run."""
    started: list[AgentProcess] = []

    def start(role: Role, *extra: str, name: str = "") -> AgentProcess:
        started.append(AgentProcess(role, controller, *extra, name=name))
        return started[-1]

    yield start
    for agent in started:
        agent.kill()
