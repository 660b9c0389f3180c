"""Find local processes that the controller has given up although they still run: stopped for good, or hung with the interpreter's lock.

Such a process cannot end itself (one that is merely in an endless step does, see `agents.stacks`), so the launcher kills it and the
back-end starts another. A process is judged only by fresh answers of a controller that knew it, never by the controller's silence.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from launch.child import Child
from protocol.status import RunStatus

PATIENCE_SECONDS = 30.0
"""A process that was stopped for a while, or whose lock was held by a slow call, comes back within this time after it was given up."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Sight:
    """When the controller last counted a process among its agents."""

    pid: int
    seen_at: float


class HungProcesses:
    """Ends them. Feed it every answer of the controller."""

    def __init__(self, *, patience_seconds: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._sights: dict[str, _Sight] = {}
        self._last_answer: float | None = None

    def follow(self, children: Iterable[Child], status: RunStatus) -> list[Child]:
        """Kill the children that a controller no longer knows for too long; return them. Their deaths are noticed by whoever polls them."""
        now, hung = self._clock(), []
        gap = now - self._last_answer if self._last_answer is not None else 0.0
        self._last_answer = now
        known = {agent.pid for agent in status.agents if agent.hostname == socket.gethostname()}
        for child in children:
            sight = self._sights.get(child.spec.name)
            if child.pid is None:
                self._sights.pop(child.spec.name, None)
            elif child.pid in known:
                self._sights[child.spec.name] = _Sight(pid=child.pid, seen_at=now)
            elif sight is not None and sight.pid == child.pid:
                # While no controller answered, nobody could have known the process.
                sight.seen_at += gap if gap > self._patience_seconds / 2 else 0.0
                if now - sight.seen_at > self._patience_seconds:
                    hung.append(child)
        for child in hung:
            log.error("process_hung", process=child.spec.name, pid=child.pid, seconds=self._patience_seconds)
            child.send_signal(signal.SIGKILL)
            del self._sights[child.spec.name]
        return hung
