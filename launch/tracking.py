"""Run the trackers' process beside a run, if the topology names trackers. Whatever becomes of it, the run goes on.

Invariant: it does not outlive the launcher (tether), and its end costs the launcher a bounded time.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from launch.child import Child
from launch.restarts import RestartBudget
from launch.specs import AgentSpec
from seal_runtime.config.topology import Topology
from seal_runtime.errors import LaunchError
from seal_runtime.own_modules import import_environment, module_command
from seal_runtime.store.run_directory import RunDirectory

END_SECONDS = 20.0
"""For sending what is left when the run is over; then the process is killed."""
KILL_SECONDS = 5.0
POLL_SECONDS = 0.05
NAME = "trackers"

log = structlog.get_logger()


@contextmanager
def tracking(topology: Topology, run: RunDirectory) -> Iterator[None]:
    """Have the figures of the run followed inside the `with` block. Call from the main thread."""
    child = _started(run) if topology.run.trackers else None
    try:
        yield
    finally:
        if child is not None:
            _end(child)


def _started(run: RunDirectory) -> Child | None:
    argv = (*module_command("seal_runtime.trackers"), "--run-dir", str(run.root))
    spec = AgentSpec(name=NAME, role="controller", argv=argv, env={"CUDA_VISIBLE_DEVICES": "", **import_environment()}, gpus=())
    child = Child(spec=spec, output=run.logs / f"{NAME}.out", budget=RestartBudget(max_restarts=0))
    try:
        child.start()
    except LaunchError as error:
        log.warning("trackers_not_started", reason=str(error))
        return None
    return child


def _end(child: Child) -> None:
    child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while child.exit_code() is None and child.process is not None:
        if time.monotonic() > deadline + KILL_SECONDS:
            return
        if time.monotonic() > deadline:
            log.warning("trackers_killed", reason=f"not done {END_SECONDS:g} s after the run")
            child.send_signal(signal.SIGKILL)
        time.sleep(POLL_SECONDS)
