"""The agent's end of the bus, as the agent's main thread uses it; a thread of its own owns the socket (`protocol.bus_thread`).

Registration, heartbeats, re-sending and re-registration after the controller was away are the channel's business: the agent sends Ready
once and each result once, and receives the first Welcome, jobs and orders. Heartbeats flow while the main thread computes. A Reject is
final. Not here: what a message means.
"""

import os
import queue
import socket as posix
import threading
import time

from protocol.bus_thread import MAX_WAITING_MESSAGES, BusThread, Refresh, Sentinel
from protocol.codec import encode
from protocol.errors import ChannelError, ChannelTimeout
from protocol.jobs import Role
from protocol.link import AgentLink, LogSource
from protocol.messages import FromAgent, Heartbeat, Register, ToAgent
from protocol.security import ConnectionInfo
from protocol.status import AgentState

CONTROLLER_TIMEOUT_SECONDS = 15.0
"""Default silence of the controller after which the channel registers again."""
CLOSE_TIMEOUT_SECONDS = 2.0
_SEND_TIMEOUT_SECONDS = 30.0
_GRACE_SECONDS = 5.0


class _Activity:
    """What the next heartbeat says; written by the main thread, read by the bus thread."""

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._state: AgentState = "starting"
        self._job_ids: tuple[str, ...] = ()
        self._touched_at = now
        self._gpu_memory_bytes = 0
        self._gpu_busy_share: float | None = None

    def set(self, state: AgentState, job_ids: tuple[str, ...]) -> None:
        with self._lock:
            self._state, self._job_ids = state, job_ids

    def touch(self, now: float, gpu_memory_bytes: int, gpu_busy_share: float | None) -> None:
        with self._lock:
            self._touched_at, self._gpu_memory_bytes, self._gpu_busy_share = now, gpu_memory_bytes, gpu_busy_share

    def heartbeat(self, now: float, frames_dropped: int) -> Heartbeat:
        with self._lock:
            return Heartbeat(
                state=self._state,
                job_ids=self._job_ids,
                step_age_seconds=max(0.0, now - self._touched_at),
                gpu_memory_bytes=self._gpu_memory_bytes,
                gpu_busy_share=self._gpu_busy_share,
                frames_dropped=frames_dropped,
            )


class AgentChannel:
    """Open with `AgentChannel.connect`; all methods belong to one thread, the agent's main one."""

    def __init__(self, bus: BusThread, link: AgentLink, activity: _Activity) -> None:
        self._bus = bus
        self._link = link
        self._activity = activity
        self._is_closed = False

    @classmethod
    def connect(
        cls,
        info: ConnectionInfo,
        *,
        role: Role,
        agent: str,
        capacity: int,
        gpus: tuple[int, ...],
        package_version: str,
        controller_timeout_seconds: float = CONTROLLER_TIMEOUT_SECONDS,
        refresh: Refresh | None = None,
        arrival: threading.Event | None = None,
    ) -> "AgentChannel":
        """Begin to connect and register; the Welcome (or Reject) arrives through `receive`.

        `refresh` reads the connection file again when the controller is silent and returns None when it cannot be read; it runs in
        the bus thread. `arrival` is set whenever a message can be received, for those who wait on several channels.
        Raises ChannelError when endpoint or keys are malformed, ProtocolError when an argument has no wire form.
        """
        register = Register(
            role=role,
            agent=agent,
            incarnation=os.urandom(16).hex(),
            capacity=capacity,
            hostname=posix.gethostname(),
            pid=os.getpid(),
            gpus=gpus,
            package_version=package_version,
        )
        encode(register)
        now = time.monotonic()
        activity = _Activity(now)
        link = AgentLink(register, controller_timeout_seconds=controller_timeout_seconds, heartbeat=activity.heartbeat, now=now)
        bus = BusThread(info, link, refresh=refresh, controller_timeout_seconds=controller_timeout_seconds, arrival=arrival)
        return cls(bus, link, activity)

    @property
    def silence_seconds(self) -> float:
        """Return how long ago the controller was last heard (or the channel was opened)."""
        return time.monotonic() - self._link.last_heard

    @property
    def problem(self) -> str:
        """Return the last trouble with the connection, "" while all is well; for the message of an agent that gives up."""
        return self._bus.problem

    @property
    def num_owed(self) -> int:
        """Return how many messages are not yet sent, or sent and not acknowledged."""
        return self._bus.num_owed

    @property
    def frames_dropped(self) -> int:
        """Return how many malformed frames came from the controller."""
        return self._bus.frames_dropped

    def set_state(self, state: AgentState, job_ids: tuple[str, ...]) -> None:
        """Set what the next heartbeats say of the work; the listed jobs' leases are renewed."""
        self._activity.set(state, job_ids)

    def watch(self, sentinel: Sentinel) -> None:
        """Have the bus thread ask `sentinel` several times a second what the main thread is at."""
        self.touch()
        self._bus.sentinel = sentinel
        self._bus.wake()

    def ship(self, logs: LogSource) -> None:
        """Have the bus thread send the controller what `logs` gives, after everything else that is due."""
        self._link.logs = logs
        self._bus.wake()

    def touch(self, gpu_memory_bytes: int = 0, gpu_busy_share: float | None = None) -> None:
        """Say that the main loop came round (heartbeats carry the time since)."""
        self._activity.touch(time.monotonic(), gpu_memory_bytes, gpu_busy_share)

    def send(self, message: FromAgent) -> None:
        """Queue a message. JobDone and JobFailed are sent until acknowledged, other messages once for each connection.

        Raises ProtocolError when the message has no wire form (a NaN, too large): answer the job with JobFailed then. Raises
        ChannelError when the channel is closed or broken, ChannelTimeout when the queue stays full.
        """
        frame = encode(message)
        self._check()
        try:
            self._bus.outbox.put((message, frame), timeout=_SEND_TIMEOUT_SECONDS)
        except queue.Full:
            where = f"{self._bus.info.endpoint} ({self._bus.problem or 'connected'})"
            raise ChannelTimeout(f"{MAX_WAITING_MESSAGES} messages wait for the controller at {where}") from None
        self._bus.wake()

    def receive(self, timeout_seconds: float) -> ToAgent | None:
        """Return the next message, None when none came in time (0 does not wait). Raises ChannelError when the channel is broken."""
        was_full = self._bus.inbox.full()
        try:
            message = self._bus.inbox.get(timeout=timeout_seconds) if timeout_seconds > 0 else self._bus.inbox.get_nowait()
        except queue.Empty:
            self._check()
            return None
        if was_full:
            self._bus.wake()
        return message

    def close(self, reason: str, timeout_seconds: float = CLOSE_TIMEOUT_SECONDS) -> bool:
        """Send what is owed, wait for acknowledgements at most `timeout_seconds`, say Goodbye, disconnect.

        Return whether everything was acknowledged. May be called again. Raises ChannelError when the bus thread does not end.
        """
        if not self._is_closed:
            self._is_closed = True
            if not self._bus.stop(reason, timeout_seconds, _GRACE_SECONDS):
                raise ChannelError(f"the bus thread did not end within {timeout_seconds + _GRACE_SECONDS:g} s; end the process")
        return self.num_owed == 0

    def _check(self) -> None:
        if self._is_closed:
            raise ChannelError("the channel is closed")
        if self._bus.failure is not None:
            raise ChannelError(f"the bus thread stopped: {self._bus.failure}") from self._bus.failure
