"""Processes that run on although the controller gave them up are ended, so that others can take their place; all others are left alone."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launch.hung import HungProcesses
from launch.local import LocalBackend
from protocol.status import AgentStatus, RunStatus

sys.path.insert(0, str(Path(__file__).parent))
from dummy_controller import status as run_status
from launch_dummies import FOREVER, SERVE, backend, lives, poll_until


@pytest.fixture
def back(tmp_path: Path) -> Iterator[LocalBackend]:
    running = backend(tmp_path, SERVE + FOREVER, {"trainer-0": FOREVER, "trainer-1": FOREVER})
    running.start()
    poll_until(running, lambda: lives(tmp_path, "trainer-0") and lives(tmp_path, "trainer-1"), "the trainers are up")
    yield running
    running.close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def status_with(*pids: int | None, hostname: str = "") -> RunStatus:
    agents = tuple(
        AgentStatus(
            agent=f"trainer-{index}", role="trainer", state="idle", hostname=hostname or socket.gethostname(), pid=pid or 0, gpus=(),
            job_ids=(), jobs_done=0, jobs_failed=0, busy_seconds=0.0, last_seen_seconds=0.0, gpu_memory_bytes=0, gpu_busy_share=None,
        )
        for index, pid in enumerate(pids)
    )  # fmt: skip
    return replace(run_status("running", 1.0), agents=agents)


def follow(hung: HungProcesses, clock: Clock, back: LocalBackend, status: RunStatus, seconds: float) -> list[str]:
    """Answer like a controller, once a second for so long; return who was ended."""
    ended = []
    for _ in range(int(seconds)):
        clock.now += 1.0
        ended += [child.spec.name for child in hung.follow(back.agents, status)]
    return ended


def test_a_process_that_the_controller_gave_up_is_ended_and_another_takes_its_place(back: LocalBackend, tmp_path: Path) -> None:
    clock = Clock()
    hung = HungProcesses(patience_seconds=30.0, clock=clock)
    first, second = (child.pid for child in back.agents)
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # SIGTERM would not even be seen
    assert follow(hung, clock, back, status_with(first, second), 60) == []
    assert follow(hung, clock, back, status_with(second), 29) == []
    assert follow(hung, clock, back, status_with(second), 3) == ["trainer-0"]
    poll_until(back, lambda: len(lives(tmp_path, "trainer-0")) == 2, "another trainer is up")
    assert back.agents[1].pid == second
    assert follow(hung, clock, back, status_with(second), 60) == [], "the new process has not been seen yet"


def test_a_process_that_comes_back_in_time_is_left_alone(back: LocalBackend) -> None:
    clock = Clock()
    hung = HungProcesses(patience_seconds=30.0, clock=clock)
    pids = [child.pid for child in back.agents]
    for _ in range(3):
        assert follow(hung, clock, back, status_with(*pids), 2) == []
        assert follow(hung, clock, back, status_with(pids[1]), 25) == []
    assert [child.pid for child in back.agents] == pids


def test_the_same_pid_on_another_host_is_another_process(back: LocalBackend) -> None:
    clock = Clock()
    hung = HungProcesses(patience_seconds=30.0, clock=clock)
    pids = [child.pid for child in back.agents]
    follow(hung, clock, back, status_with(*pids), 2)
    assert sorted(follow(hung, clock, back, status_with(*pids, hostname="elsewhere"), 32)) == ["trainer-0", "trainer-1"]


def test_the_silence_of_the_controller_is_not_held_against_its_agents(back: LocalBackend) -> None:
    clock = Clock()
    hung = HungProcesses(patience_seconds=30.0, clock=clock)
    pids = [child.pid for child in back.agents]
    follow(hung, clock, back, status_with(*pids), 2)
    clock.now += 500.0  # the controller died and another has begun
    assert follow(hung, clock, back, status_with(), 20) == []
    assert follow(hung, clock, back, status_with(*pids), 2) == []
    assert [child.pid for child in back.agents] == pids
