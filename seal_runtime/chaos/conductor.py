"""Drive a run to its end through everything that the schedule holds: the launcher's own code, the agents behind the proxy.

A run that the chaos stopped (SIGTERM to the controller, everything killed at once, a full disk) is resumed as `seal-runtime resume`
does it: another back-end in the same directory.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from launch.live_view import LiveView
from launch.local import EXIT_FAILED, EXIT_STOPPED, EXIT_USAGE, LocalBackend
from launch.observe import RunObserver
from launch.run_setup import claim, write_topology
from launch.session import backend_of, drive
from launch.specs import AgentSpec, agent_specs, controller_spec
from launch.stop_signals import StopSignals
from seal_runtime.chaos.disk import Disk
from seal_runtime.chaos.journal import JOURNAL_FILE, Journal
from seal_runtime.chaos.monkey import Monkey, PowerCut, Stalled
from seal_runtime.chaos.progress import ProgressMeter
from seal_runtime.chaos.proxy import BusProxy
from seal_runtime.chaos.schedule import Injection
from seal_runtime.config.loading import dump_topology
from seal_runtime.config.topology import Topology
from seal_runtime.controller.plan import Plan
from seal_runtime.errors import LaunchError
from seal_runtime.logging import configure_logging
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.store.sweep import sweep_store

PROXY_FOLDER = "chaos"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosRun:
    """How a disturbed run went. `delivered` counts injections by kind and variant, `targets` by process."""

    exit_code: int
    seconds: float
    delivered: dict[str, int]
    targets: dict[str, int]
    num_undelivered: int
    num_resumes: int
    problems: tuple[str, ...]


def hardened(topology: Topology, num_injections: int, *, fills_disk: bool) -> Topology:
    """Return the topology with the limits that would blame a job or an agent for what the chaos did to it out of reach.

    Only a full disk makes attempts fail; every other disturbance must do without more attempts.
    """
    raised = {
        "max_restarts": topology.limits.max_restarts + num_injections,
        "max_deaths": topology.limits.max_deaths + num_injections,
    }
    if fills_disk:
        raised["max_attempts"] = topology.limits.max_attempts + num_injections
    return topology.model_copy(update={"limits": topology.limits.model_copy(update=raised)})


def process_names(topology: Topology, run: RunDirectory) -> list[str]:
    """Return the names of the agents' processes that the launcher starts."""
    return [spec.name for spec in _specs(topology, run)]


class Conductor:
    """Runs one topology, which must be hardened, in a fresh run directory."""

    def __init__(self, topology: Topology, run: RunDirectory, plan: Plan, *, stall_seconds: float, disk: Disk | None) -> None:
        self._topology = topology
        self._run = run
        self._plan = plan
        self._stall_seconds = stall_seconds
        self._disk = disk
        self._problems: list[str] = []

    def play(self, schedule: Sequence[Injection], view: LiveView) -> ChaosRun:
        """Run to the end. Raises LaunchError when the run cannot even begin, or somebody stops it; leaves no process."""
        run, started = self._run, time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(claim(run))
            signals = stack.enter_context(StopSignals())
            write_topology(run, dump_topology(self._topology))
            configure_logging(role="launch", agent="launch", run=self._topology.run.name, log_file=run.log("launch"), console=False)
            proxy = stack.enter_context(
                BusProxy(process_names(self._topology, run), upstream=run.connection, folder=run.root / PROXY_FOLDER)
            )
            journal = Journal(run.root / JOURNAL_FILE)
            meter = ProgressMeter(run.ledger, self._plan)
            monkey = Monkey(schedule, meter=meter, proxy=proxy, journal=journal, disk=self._disk, stall_seconds=self._stall_seconds)
            stack.callback(monkey.calm)
            exit_code = self._sessions(monkey, journal, proxy, view, signals)
            if signals.first is not None:
                done = len(schedule) - monkey.num_undelivered
                raise LaunchError(f"stopped by {signals.first.name} after {done} of {len(schedule)} disturbances; nothing is proven")
            if exit_code == 0:
                sweep_store(run, keep_adapters=self._topology.run.keep_adapters == "all")
        return ChaosRun(
            exit_code=exit_code,
            seconds=time.monotonic() - started,
            delivered=dict(sorted(journal.delivered.items())),
            targets=dict(sorted(journal.targets.items())),
            num_undelivered=monkey.num_undelivered,
            num_resumes=journal.num_resumes,
            problems=tuple(self._problems),
        )

    def _sessions(self, monkey: Monkey, journal: Journal, proxy: BusProxy, view: LiveView, signals: StopSignals) -> int:
        while True:
            exit_code, why = self._session(monkey, proxy, view, signals)
            if not why or signals.count:
                return exit_code
            monkey.calm()
            journal.resumed_now(why)
            log.info("run_resumed", reason=why)

    def _session(self, monkey: Monkey, proxy: BusProxy, view: LiveView, signals: StopSignals) -> tuple[int, str]:
        """Drive the run until it ends or stops; return the exit code, and why it must be resumed ("" when it is over)."""
        observer = RunObserver(self._run.connection)
        backend = self._backend(observer, proxy)
        monkey.begin(backend)
        startup_seconds = self._topology.limits.startup_timeout_seconds
        try:
            end = drive(backend, observer, view, signals, startup_seconds=startup_seconds, each_turn=monkey.turn)
        except PowerCut:
            return EXIT_STOPPED, "every process was killed at once"
        except Stalled as error:
            self._problems.append(str(error))
            return EXIT_FAILED, ""
        except LaunchError as error:
            if not monkey.filled_disk:
                raise
            return EXIT_FAILED, f"the disk was full: {error}"
        if end.exit_code == EXIT_STOPPED and monkey.stopped_controller:
            return end.exit_code, "the controller was stopped by SIGTERM"
        if end.exit_code in (EXIT_FAILED, EXIT_USAGE) and monkey.filled_disk:
            return end.exit_code, "the disk was full"
        self._problems += end.problems
        return end.exit_code, ""

    def _backend(self, observer: RunObserver, proxy: BusProxy) -> LocalBackend:
        run = self._run
        agents = [_through(proxy.connection(spec.name), run.connection, spec) for spec in _specs(self._topology, run)]
        max_restarts = self._topology.limits.max_restarts
        return backend_of(controller_spec(run.root), agents, run=run, observer=observer, max_restarts=max_restarts)


def _specs(topology: Topology, run: RunDirectory) -> list[AgentSpec]:
    return agent_specs(topology, connection=run.connection, log_dir=run.logs)


def _through(door: Path, connection: Path, spec: AgentSpec) -> AgentSpec:
    """Return the same process, which goes through the proxy."""
    return replace(spec, argv=tuple(str(door) if argument == str(connection) else argument for argument in spec.argv))
