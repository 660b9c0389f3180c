"""Drive one run from its start to its end on this machine: the processes, the picture, the signals.

Invariant: however this ends (done, failed, Ctrl-C, SIGTERM, SIGHUP, an exception), no process of the run is left.
"""

import time
from dataclasses import dataclass

import structlog

from launch.live_view import LiveView
from launch.local import EXIT_FAILED, EXIT_STOPPED, Bus, Grace, LocalBackend
from launch.observe import RunObserver, serves
from launch.specs import AgentSpec, agent_specs, controller_spec
from launch.stop_signals import StopSignals
from protocol.status import RunStatus
from seal_runtime.config.topology import Topology
from seal_runtime.errors import LaunchError
from seal_runtime.store.run_directory import RunDirectory

POLL_SECONDS = 0.1
STATUS_EVERY_SECONDS = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd:
    """How a session ended: the run's exit code (0 done, 3 stopped, 4 failed), the last status seen, what went wrong."""

    exit_code: int
    status: RunStatus | None
    problems: tuple[str, ...]


def local_backend(topology: Topology, run: RunDirectory, observer: RunObserver, *, grace: Grace | None = None) -> LocalBackend:
    """Return the back-end of a prepared run directory. Nothing starts yet."""
    return backend_of(
        controller_spec(run.root),
        agent_specs(topology, connection=run.connection, log_dir=run.logs),
        run=run,
        observer=observer,
        max_restarts=topology.limits.max_restarts,
        grace=grace,
    )


def backend_of(
    controller: AgentSpec,
    agents: list[AgentSpec],
    *,
    run: RunDirectory,
    observer: RunObserver,
    max_restarts: int,
    grace: Grace | None = None,
) -> LocalBackend:
    """Return a back-end for these processes, tied to the run's bus."""
    bus = Bus(serves=lambda pid: serves(run.connection, pid), ask_to_stop=observer.ask_to_stop)
    return LocalBackend(controller, agents, bus=bus, log_dir=run.logs, max_restarts=max_restarts, grace=grace)


def drive(backend: LocalBackend, observer: RunObserver, view: LiveView, signals: StopSignals, *, startup_seconds: float) -> SessionEnd:
    """Start the back-end and stay until the run is over. Raises LaunchError when it cannot come up; leaves no process in any case."""
    try:
        backend.start()
        _stay(backend, observer, view, signals, deadline=time.monotonic() + startup_seconds)
        if backend.exit_code is None:
            view.update(observer.last_status, ["stopping: what is done is kept (Ctrl-C again to end at once)"])
            backend.stop(_reason(signals), hurry=signals.impatient)
        else:
            view.update(observer.last_status)
            backend.finish(hurry=lambda: signals.count > 0)
    finally:
        backend.close(hurry=signals.impatient)
        observer.close()
    exit_code = backend.exit_code if backend.exit_code is not None else EXIT_STOPPED
    log.info("run_ended", exit_code=exit_code)
    return SessionEnd(exit_code=exit_code, status=observer.last_status, problems=tuple(backend.problems))


def _stay(backend: LocalBackend, observer: RunObserver, view: LiveView, signals: StopSignals, *, deadline: float) -> None:
    """Watch until the run is over or somebody wants it to stop."""
    status_due = 0.0
    while backend.poll() is None and not signals.count:
        now = time.monotonic()
        if now >= status_due:
            status_due = now + STATUS_EVERY_SECONDS
            view.update(observer.status(), backend.problems)
            if observer.last_status is None and now > deadline:
                raise LaunchError(f"the controller did not answer in time; see {backend.controller.output}")
            lost = lost_role(backend, observer.last_status)
            if lost is not None:
                backend.problems.append(lost)
                log.error("run_cannot_go_on", reason=lost)
                backend.stop(lost, hurry=signals.impatient)
                backend.exit_code = EXIT_FAILED
                return
        time.sleep(POLL_SECONDS)


def lost_role(backend: LocalBackend, status: RunStatus | None) -> str | None:
    """Say why the run cannot go on: a role whose local agents all died too often while nobody else serves it."""
    serving = {agent.role for agent in status.agents} if status is not None else set()
    lost = [role for role in backend.given_up_roles() if role not in serving]
    if not lost:
        return None
    return f"no {lost[0]} is left and none can be started; correct the cause, then `seal-runtime resume` continues the run"


def _reason(signals: StopSignals) -> str:
    return f"{signals.first.name} from the user" if signals.first is not None else "the launcher stopped"


def attach_hints(where: str) -> tuple[str, str]:
    """Return the lines that tell people what else they can do while the run `where` goes on."""
    return (f"add a trainer:  seal-runtime attach trainer --run {where}", f"follow logs:    seal-runtime logs -f {where}")
