"""A disturbed run that somebody stops says nothing about what was lost."""

import io
import os
import signal
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from launch.live_view import LiveView
from launch.local import EXIT_STOPPED
from launch.stop_signals import StopSignals
from seal_runtime.chaos.conductor import Conductor
from seal_runtime.chaos.schedule import Injection
from seal_runtime.config.topology import Topology
from seal_runtime.controller.plan import make_plan
from seal_runtime.errors import LaunchError
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.tasks.registry import make_task


def test_a_run_that_the_user_stops_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = Topology()
    plan = make_plan(topology, make_task(topology.task))

    def stopped(self: Conductor, *sessions: object) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        signals = next(each for each in sessions if isinstance(each, StopSignals))
        assert signals.first is signal.SIGINT
        return EXIT_STOPPED

    monkeypatch.setattr(Conductor, "_sessions", stopped)
    kill = Injection(
        number=0, kind="kill", variant="", share=0.1, targets=("trainer-0",), seconds=0.0, latency_seconds=0.0, catches_starting=False
    )
    conductor = Conductor(topology, RunDirectory(tmp_path), plan, stall_seconds=60.0, disk=None)
    view = LiveView(Console(file=io.StringIO()), live=False, hints=())
    try:
        with pytest.raises(LaunchError, match="stopped by SIGINT after 0 of 1 disturbances"):
            conductor.play([kill], view)
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
