"""A controller in the test's thread, and agents as processes that cannot outlive their test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mini_controller import AgentProcess, MiniController

from protocol.jobs import Role
from seal_runtime.config.topology import EvaluatorConfig, ProposerConfig, Topology, TrainerConfig

StartAgent = Callable[..., AgentProcess]


def fake_topology(**engine_args: str | int | float | bool) -> Topology:
    """Return a topology of fakes; the arguments are those of the generation engines."""
    return Topology(
        proposer=ProposerConfig(engine="fake", engine_args=engine_args),
        trainer=TrainerConfig(engine="fake", max_concurrent_adapters=2),
        evaluator=EvaluatorConfig(engine="fake", engine_args=engine_args),
    )


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
