"""Run the controller and the agents as local processes: start, watch, restart with back-off, stop.

Invariants: nothing outlives the launcher (tether and process groups, see `launch.child`); a process that was asked to stop is
never restarted; each wait has a deadline. The back-end does not know what a run is: the controller's exit code says how it ended.
"""

import shutil
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from launch.child import Child, describe_exit, was_dismissed, was_stopped
from launch.restarts import FIRST_DELAY_SECONDS, RestartBudget
from launch.specs import AgentSpec
from seal_runtime.errors import LaunchError

EXIT_DONE, EXIT_USAGE, EXIT_STOPPED, EXIT_FAILED = 0, 2, 3, 4
FINAL_EXIT_CODES = frozenset({EXIT_DONE, EXIT_USAGE, EXIT_STOPPED, EXIT_FAILED})
"""Exit codes with which the controller says that the run is over; every other end is a death and the controller resumes."""

RECALL_SECONDS = 5.0
"""An agent that was dismissed is started again when a controller still serves after so long: the one that dismissed it died before it
could end, and the run goes on."""
_FULL_DISK_BYTES = 1 << 20
"""With less free space than this a death is blamed on the disk: the process itself can then often not say so."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """How long each step of stopping may take, in seconds."""

    after_request: float = 10.0
    after_sigterm: float = 5.0
    after_end: float = 3.0
    """For agents to leave by themselves once the controller has ended the run."""
    after_sigkill: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """What the back-end must know of the bus, as functions, so that this file needs no socket.

    `serves(controller_pid)` says whether this controller process can be reached; `ask_to_stop(reason)` whether it took the request.
    """

    serves: Callable[[int], bool]
    ask_to_stop: Callable[[str], bool]


class LocalBackend:
    """The processes of one run on this machine. Use it from the main thread only, and `close` it whatever happens."""

    def __init__(
        self,
        controller: AgentSpec,
        agents: Sequence[AgentSpec],
        *,
        bus: Bus,
        log_dir: Path,
        max_restarts: int,
        first_delay_seconds: float = FIRST_DELAY_SECONDS,
        grace: Grace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log_dir = log_dir
        self._max_restarts = max_restarts
        self._first_delay_seconds = first_delay_seconds
        self.controller = self._child(controller)
        self.agents = [self._child(spec) for spec in agents]
        self.exit_code: int | None = None
        self.problems: list[str] = []
        self._bus = bus
        self._grace = grace or Grace()
        self._clock = clock
        self._served_pid: int | None = None

    def start(self) -> None:
        """Start the controller; the agents follow in `poll` as soon as it serves. Raises LaunchError."""
        self._start(self.controller)

    def poll(self) -> int | None:
        """Look at every process once and act; return the run's exit code when it is over. Never waits. Raises LaunchError."""
        if self.exit_code is None:
            self._watch_controller()
        if self.exit_code is None:
            serving = self._controller_serves()
            for agent in self.agents:
                self._watch_agent(agent, serving=serving)
        return self.exit_code

    def add(self, spec: AgentSpec) -> None:
        """Take in another agent; it starts as soon as the controller serves."""
        self.agents.append(self._child(spec))

    def given_up_roles(self) -> list[str]:
        """Return the roles of which every local agent died too often."""
        roles = {role for agent in self.agents for role in agent.spec.roles}
        return sorted(role for role in roles if all(a.state == "given_up" for a in self.agents if role in a.spec.roles))

    def finish(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Wait for the agents to leave after the run's end, then make them."""
        self._wait(self._alive(), self._grace.after_end, hurry)
        self.close(hurry=hurry)

    def stop(self, reason: str, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """End the run now: ask the controller, then SIGTERM, then SIGKILL. `hurry` turning true cuts the waits short."""
        log.info("run_stop_requested", reason=reason)
        if self.controller.process is not None and self._bus.ask_to_stop(reason):
            self._wait([self.controller], self._grace.after_request, hurry)
            self._wait(self._alive(), self._grace.after_end, hurry)
        self.close(hurry=hurry)
        if self.exit_code is None:
            self.exit_code = EXIT_STOPPED

    def close(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Leave no process: SIGTERM to what is alive, SIGKILL to what stays. Harmless when nothing runs."""
        for number, seconds in ((signal.SIGTERM, self._grace.after_sigterm), (signal.SIGKILL, self._grace.after_sigkill)):
            alive = self._alive()
            for child in alive:
                log.warning("process_signalled", process=child.spec.name, signal=number.name)
                child.send_signal(number)
            self._wait(alive, seconds, hurry if number is signal.SIGTERM else lambda: False)

    def _child(self, spec: AgentSpec) -> Child:
        budget = RestartBudget(max_restarts=self._max_restarts, first_delay_seconds=self._first_delay_seconds)
        return Child(spec=spec, output=self._log_dir / f"{spec.name}.out", budget=budget)

    def _start(self, child: Child) -> None:
        child.start()
        child.started_at = self._clock()
        log.info("process_started", process=child.spec.name, pid=child.pid, gpus=list(child.spec.gpus), start=child.budget.deaths + 1)

    def _watch_controller(self) -> None:
        child = self.controller
        if child.state == "waiting" and self._clock() >= child.start_at:
            self._start(child)
        code = child.exit_code()
        if code is None:
            return
        if code in FINAL_EXIT_CODES:
            child.state, self.exit_code = "left", code
            log.info("controller_ended", exit_code=code)
            if code in (EXIT_USAGE, EXIT_FAILED):
                self._problem("the run could not begin" if code == EXIT_USAGE else "the controller ended the run as failed", child)
        elif self._served_pid is None:
            raise LaunchError(
                f"the controller did not come up ({describe_exit(code)}); its last output in {child.output}:\n{child.last_output()}"
            )
        elif not self._bury(child, code):
            child.state, self.exit_code = "given_up", EXIT_FAILED

    def _controller_serves(self) -> bool:
        """Say whether new agents can connect. Those that are there follow a controller that comes back elsewhere by themselves."""
        pid = self.controller.pid
        if pid is not None and pid != self._served_pid and self._bus.serves(pid):
            self._served_pid = pid
        return pid is not None and pid == self._served_pid

    def _watch_agent(self, child: Child, *, serving: bool) -> None:
        if child.state == "waiting" and serving and self._clock() >= child.start_at:
            self._start(child)
        code = child.exit_code()
        if code is None:
            return
        if was_dismissed(code) and not child.is_leaving:
            child.state, child.start_at = "waiting", self._clock() + RECALL_SECONDS
            log.info("agent_dismissed", process=child.spec.name)
        elif was_stopped(code) or child.is_leaving:
            child.state = "left"
            log.info("agent_left", process=child.spec.name, how=describe_exit(code), asked_to_leave=child.is_leaving)
        else:
            self._bury(child, code)

    def _bury(self, child: Child, code: int) -> bool:
        """Record a death; say whether the process will be started again."""
        # Wrong arguments or configuration stay wrong however often the process starts.
        delay = child.budget.next_delay(self._clock() - child.started_at) if code != EXIT_USAGE else None
        how = describe_exit(code)
        log.error("process_died", process=child.spec.name, how=how, deaths=child.budget.deaths, last_output=child.last_output())
        if delay is None:
            child.state = "given_up"
            self._problem(f"{child.spec.name} ended {max(1, child.budget.deaths)} times (last: {how}) and is not started again", child)
            return False
        child.state, child.start_at = "waiting", self._clock() + delay
        log.info("process_restarting", process=child.spec.name, delay_seconds=delay)
        return True

    def _problem(self, text: str, child: Child) -> None:
        if shutil.disk_usage(child.output.parent).free < _FULL_DISK_BYTES:
            text += f"; the disk of {child.output.parent} is full: free some space"
        last = child.last_output()
        self.problems.append(f"{text}; its last output in {child.output}:\n{last}" if last else f"{text}; see {child.output}")
        log.error("launch_problem", problem=text)

    def _alive(self) -> list[Child]:
        return [child for child in (self.controller, *self.agents) if child.process is not None]

    def _wait(self, children: Iterable[Child], seconds: float, hurry: Callable[[], bool]) -> None:
        deadline = self._clock() + seconds
        left = list(children)
        while left and self._clock() < deadline and not hurry():
            for child in left:
                self._notice_end(child)
            left = [child for child in left if child.process is not None]
            if left:
                time.sleep(0.02)

    def _notice_end(self, child: Child) -> None:
        code = child.exit_code()
        if code is None:
            return
        child.state = "left"
        log.info("process_ended", process=child.spec.name, how=describe_exit(code))
        if child is self.controller and self.exit_code is None and code in FINAL_EXIT_CODES:
            self.exit_code = code
