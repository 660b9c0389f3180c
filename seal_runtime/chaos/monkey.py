"""Deliver the schedule to a run that goes on: whom to hit, when it is due, when it is over.

Invariants: an injection waits until the run has committed something since the one before; what the monkey stopped it lets go on; an
agent that left because the monkey asked it to is replaced, as `attach` would; a death that the monkey caused costs no restart.
Called from the launcher's loop, so that nothing here races with the back-end.
"""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launch.child import Child
from launch.local import LocalBackend
from protocol.status import RunStatus
from seal_runtime.chaos.disk import Disk
from seal_runtime.chaos.journal import Journal
from seal_runtime.chaos.progress import ProgressMeter
from seal_runtime.chaos.proxy import BusProxy
from seal_runtime.chaos.schedule import CONTROLLER, EVERYTHING, Injection
from seal_runtime.errors import LaunchError

REPLACE_AFTER_SECONDS = 0.5
"""Between an agent's leaving at the monkey's SIGTERM and the start of its replacement."""
LOOK_EVERY_SECONDS = 0.05
_SERVING = ("idle", "busy")


class PowerCut(Exception):
    """Every process of the run was killed at once; the run must be resumed."""


class Stalled(LaunchError):
    """The run committed nothing for too long: something waits for ever."""


@dataclass(slots=True, kw_only=True)
class _Pending:
    """A disturbance that lasts, and the process that it holds up (None: the network's or the disk's)."""

    injection: Injection
    target: str
    child: Child | None
    pid: int | None
    until: float


class Monkey:
    """One for the whole chaos run; `begin` gives it the back-end of each session.

    `stopped_controller` and `filled_disk` say what it did in this session, so that a run which ended of it is resumed.
    """

    def __init__(
        self,
        schedule: Sequence[Injection],
        *,
        meter: ProgressMeter,
        proxy: BusProxy,
        journal: Journal,
        disk: Disk | None,
        stall_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stopped_controller = False
        self.filled_disk = False
        self._left = list(schedule)
        self._meter = meter
        self._proxy = proxy
        self._journal = journal
        self._disk = disk
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._backend: LocalBackend | None = None
        self._pending: list[_Pending] = []
        self._asked_to_leave: set[str] = set()
        self._looked_at = 0.0
        self._jobs_at_injection = 0
        self._num_statuses = 0
        self._progressed_at = clock()

    @property
    def num_undelivered(self) -> int:
        """Return how many injections were never due, or had nobody to hit, before the run ended."""
        return len(self._left)

    def begin(self, backend: LocalBackend) -> None:
        """Take up a session: all processes of the one before are gone."""
        self._backend = backend
        self.stopped_controller = self.filled_disk = False
        self._num_statuses = 0
        self._asked_to_leave.clear()
        self.calm()
        self._progressed_at = self._clock()

    def calm(self) -> None:
        """Take note that no process of the session is left, so that nothing is held up any more; free the disk."""
        if self._disk is not None:
            self._disk.free()
        for pending in self._pending:
            self._journal.ended_now(pending.injection, pending.target)
        self._pending.clear()

    def turn(self, status: RunStatus | None) -> None:
        """Do what is due. Raises PowerCut after it killed everything, Stalled when the run does not go on."""
        backend, now = self._backend, self._clock()
        assert backend is not None, "a session begins before its turns"
        self._end_what_is_over(now)
        self._replace(backend, now)
        if now - self._looked_at < LOOK_EVERY_SECONDS:
            return
        self._looked_at = now
        before = self._meter.jobs_done
        if self._meter.look() > before:
            self._progressed_at = now
        if now - self._progressed_at > self._stall_seconds:
            problems = "; ".join(status.problems) if status is not None else ""
            raise Stalled(f"no job was committed for {self._stall_seconds:.0f} s; the controller says: {problems or 'nothing'}")
        self._num_statuses += status is not None
        # The launcher knows from the turn after the first status on that the controller came up; a death before that ends the session.
        if status is not None and self._num_statuses > 1 and self._is_due():
            self._deliver(backend, status, now)

    def _is_due(self) -> bool:
        if not self._left or self._meter.jobs_done <= self._jobs_at_injection:
            return False
        return self._meter.jobs_done >= self._left[0].share * self._meter.jobs_total

    def _deliver(self, backend: LocalBackend, status: RunStatus, now: float) -> None:
        injection = self._left[0]
        child = _choose(injection, backend, status, {pending.target for pending in self._pending})
        if child is None and injection.targets != (EVERYTHING,):
            return
        self._left.pop(0)
        self._jobs_at_injection = self._meter.jobs_done
        target, pid = (child.spec.name, child.pid) if child is not None else (EVERYTHING, None)
        self._journal.delivered_now(injection, target, pid=pid, jobs_done=self._meter.jobs_done)
        self._act(backend, injection, child)
        if injection.seconds:
            held = child if injection.kind == "stop" else None
            until = now + injection.seconds
            self._pending.append(_Pending(injection=injection, target=target, child=held, pid=pid, until=until))

    def _act(self, backend: LocalBackend, injection: Injection, child: Child | None) -> None:
        match injection.kind:
            case "kill" if child is not None:
                _forgive(child)
                child.send_signal(signal.SIGKILL)
            case "stop" if child is not None:
                child.send_signal(signal.SIGSTOP)
            case "term" if child is not None:
                self._ask_to_leave(child)
            case "drop" if child is not None:
                self._proxy.cut(_doors(backend, child), injection.seconds)
            case "delay" if child is not None and injection.latency_seconds:
                self._proxy.slow(_doors(backend, child), injection.seconds, injection.latency_seconds)
            case "delay" if child is not None:
                self._proxy.hold(_doors(backend, child), injection.seconds)
            case "disk" if self._disk is not None:
                self.filled_disk = True
                self._disk.fill()
            case "power":
                for each in (backend.controller, *backend.agents):
                    each.send_signal(signal.SIGKILL)
                raise PowerCut

    def _ask_to_leave(self, child: Child) -> None:
        _forgive(child)
        if child.spec.name == CONTROLLER:
            self.stopped_controller = True
        else:
            self._asked_to_leave.add(child.spec.name)
        child.send_signal(signal.SIGTERM)

    def _replace(self, backend: LocalBackend, now: float) -> None:
        for child in backend.agents:
            if child.state == "left" and child.spec.name in self._asked_to_leave:
                child.state, child.start_at = "waiting", now + REPLACE_AFTER_SECONDS
            if child.state != "running":
                self._asked_to_leave.discard(child.spec.name)

    def _end_what_is_over(self, now: float) -> None:
        for pending in [pending for pending in self._pending if now >= pending.until]:
            self._pending.remove(pending)
            if pending.child is not None and pending.child.pid == pending.pid:
                pending.child.send_signal(signal.SIGCONT)
            if pending.injection.kind == "disk" and self._disk is not None:
                self._disk.free()
            self._journal.ended_now(pending.injection, pending.target)


def _choose(injection: Injection, backend: LocalBackend, status: RunStatus, held_up: set[str]) -> Child | None:
    """Return the first process of the injection's preference that lives and is not held up already; those that serve come first."""
    children = {child.spec.name: child for child in (backend.controller, *backend.agents)}
    serving = {CONTROLLER} | {agent.agent for agent in status.agents if agent.state in _SERVING}
    able = [name for name in injection.targets if name in children and children[name].pid is not None and name not in held_up]
    first = [name for name in able if (not serving.isdisjoint(name.split("+"))) != injection.catches_starting]
    chosen = next(iter([*first, *able]), None)
    return None if chosen is None else children[chosen]


def _doors(backend: LocalBackend, child: Child) -> list[str]:
    """Return whose connections are meant: an agent's own, or everybody's when it is the controller that is cut off."""
    return [agent.spec.name for agent in backend.agents] if child.spec.name == CONTROLLER else [child.spec.name]


def _forgive(child: Child) -> None:
    """Let the death to come neither use up the restarts nor lengthen the back-off."""
    child.budget.deaths = max(0, child.budget.deaths - 1)
