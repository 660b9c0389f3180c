"""Drive one run from its start to its end on this machine: the processes, the picture, the signals.

Invariant: however this ends (done, failed, Ctrl-C, SIGTERM, SIGHUP, an exception), no process of the run is left.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from launch.account import AccountFile
from launch.hung import HungProcesses
from launch.live_view import LiveView
from launch.local import EXIT_FAILED, EXIT_STOPPED, Bus, Grace, LocalBackend
from launch.observe import RunObserver, serves
from launch.scaling import Scaler
from launch.specs import AgentSpec, agent_specs, controller_spec, numbered_spec
from launch.stop_signals import StopSignals
from protocol.jobs import ROLES, Role
from protocol.status import RunStatus, WantedAgents
from seal_runtime.config.scaling import agents_that_fit
from seal_runtime.config.topology import Topology
from seal_runtime.errors import LaunchError
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.wanted import wanted_of
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
    """Return the back-end of a prepared run directory, with as many agents as were wanted last. Nothing starts yet."""
    counts = {role: wanted.count for role, wanted in wanted_agents(topology, run).items()}
    return backend_of(
        controller_spec(run.root),
        agent_specs(topology, connection=run.connection, log_dir=run.logs, counts=counts),
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


def local_scaler(topology: Topology, run: RunDirectory, backend: LocalBackend, observer: RunObserver) -> Scaler:
    """Return what lets the run's back-end follow `seal-runtime scale`."""
    return Scaler(
        backend,
        lambda role, index, slot: numbered_spec(topology, role, index, slot=slot, connection=run.connection, log_dir=run.logs),
        num_slots={role: agents_that_fit(topology, role) for role in ROLES},
        drain=observer.ask_to_drain,
        requests={role: wanted.request for role, wanted in wanted_agents(topology, run).items()},
        account=AccountFile(run.launched),
    )


def wanted_agents(topology: Topology, run: RunDirectory) -> dict[Role, WantedAgents]:
    """Return how many agents of each role the run wants: as the ledger says, or the topology where nobody scaled. Raises LedgerError."""
    meta: dict[str, str] = {}
    if run.ledger.is_file():
        with LedgerReader(run.ledger) as ledger:
            meta = ledger.meta()
    return wanted_of(meta, {role: topology.agents(role).count for role in ROLES})


def drive(
    backend: LocalBackend,
    observer: RunObserver,
    view: LiveView,
    signals: StopSignals,
    *,
    startup_seconds: float,
    each_turn: Callable[[RunStatus | None], None] = lambda status: None,
    scaler: Scaler | None = None,
) -> SessionEnd:
    """Start the back-end and stay until the run is over. Raises LaunchError when it cannot come up; leaves no process in any case.

    `each_turn` is called ten times a second with the last status; what it raises ends the session. Without a `scaler` the back-end does not
    follow `seal-runtime scale`.
    """
    try:
        backend.start()
        _stay(backend, observer, view, signals, each_turn, scaler, deadline=time.monotonic() + startup_seconds)
        if backend.exit_code is None:
            view.update(observer.last_status, ["stopping: what is done is kept (Ctrl-C again to end at once)"])
            backend.stop(_reason(signals), hurry=signals.impatient)
        else:
            view.update(observer.last_status)
            backend.finish(hurry=lambda: signals.count > 0)
    finally:
        backend.close(hurry=signals.impatient)
        observer.close()
        if scaler is not None:
            scaler.close()
    exit_code = backend.exit_code if backend.exit_code is not None else EXIT_STOPPED
    log.info("run_ended", exit_code=exit_code)
    return SessionEnd(exit_code=exit_code, status=observer.last_status, problems=tuple(backend.problems))


def _stay(
    backend: LocalBackend,
    observer: RunObserver,
    view: LiveView,
    signals: StopSignals,
    each_turn: Callable[[RunStatus | None], None],
    scaler: Scaler | None,
    *,
    deadline: float,
) -> None:
    """Watch until the run is over or somebody wants it to stop."""
    status_due, hung = 0.0, HungProcesses()
    while backend.poll() is None and not signals.count:
        now = time.monotonic()
        if now >= status_due:
            status_due = now + STATUS_EVERY_SECONDS
            status = observer.status()
            view.update(status, backend.problems)
            if status is not None:
                hung.follow(backend.agents, status)
            if scaler is not None and status is not None:
                scaler.follow(status)
            if observer.last_status is None and now > deadline:
                raise LaunchError(f"the controller did not answer in time; see {backend.controller.output}")
            lost = lost_role(backend, observer.last_status)
            if lost is not None:
                backend.problems.append(lost)
                log.error("run_cannot_go_on", reason=lost)
                backend.stop(lost, hurry=signals.impatient)
                backend.exit_code = EXIT_FAILED
                return
        each_turn(observer.last_status)
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
