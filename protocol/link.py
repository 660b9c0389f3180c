"""What an agent's connection owes the controller and when: a state machine without sockets, threads or clock.

Registering -> registered -> (reconnected, silence or Pulse(registered=False)) -> registering. Invariants: a JobDone or JobFailed is sent
again until its JobAck came; nothing but Register and Goodbye is sent before the Welcome of this connection; every registration after the
first repeats Ready, so the agent's main thread need not know that the controller was away. Time is passed in (seconds, monotonic).
"""

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protocol.codec import encode
from protocol.messages import (
    FromAgent,
    Goodbye,
    Heartbeat,
    JobAck,
    JobDone,
    JobFailed,
    LogLines,
    Pulse,
    Ready,
    Register,
    Reject,
    ToAgent,
    Welcome,
)

REGISTER_SECONDS = 1.0
"""Interval at which an unanswered Register is repeated."""
MIN_HEARTBEAT_SECONDS = 0.05
"""Bound on what a Welcome may ask for; zero would leave room for nothing else."""
RESEND_SECONDS = 5.0
"""First delay before an unacknowledged JobDone or JobFailed is repeated; doubles up to RESEND_MAX_SECONDS."""
RESEND_MAX_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class _Unacknowledged:
    frame: bytes
    due_at: float
    delay_seconds: float


class LogSource(Protocol):
    """What an agent logged and the controller has not been told yet; asked from the bus thread."""

    def take(self, now: float, *, hurry: bool) -> LogLines | None:
        """Return the next batch, None when there is none or its time has not come; `hurry` is the last chance and waits for no time."""
        ...

    def seconds_until_due(self, now: float) -> float | None:
        """Return after how many seconds `take` has something, None while nothing waits."""
        ...


class AgentLink:
    """Feed it what happened (`connected`, `receive`, `submit`) and send what `next_frame` gives until it gives None.

    `heartbeat` makes one from the time and the number of malformed frames, which the owner of the socket counts in `frames_dropped`.
    """

    def __init__(
        self, register: Register, *, controller_timeout_seconds: float, heartbeat: Callable[[float, int], Heartbeat], now: float
    ) -> None:
        self.registered = False
        self.is_connected = False
        self.finished = False
        self.last_heard = now
        self.frames_dropped = 0
        self.register = register
        self._controller_timeout_seconds = controller_timeout_seconds
        self._heartbeat = heartbeat
        self._heartbeat_seconds = REGISTER_SECONDS
        self._run_id: str | None = None
        self._register_at = now
        self._heartbeat_at = now
        self._ready: Ready | None = None
        self._queue: deque[bytes] = deque()
        self._unacknowledged: dict[tuple[str, int], _Unacknowledged] = {}
        self._goodbye: bytes | None = None
        self._is_closing = False
        self.logs: LogSource | None = None

    @property
    def num_owed(self) -> int:
        """Return how many messages are unsent or unacknowledged (Goodbye aside)."""
        return len(self._queue) + len(self._unacknowledged)

    def connected(self, now: float) -> None:
        """Note that the transport has a fresh connection: the controller knows nothing of it yet."""
        self.is_connected = True
        self._register_again(now)

    def disconnected(self) -> None:
        """Note that the transport lost its connection."""
        self.is_connected = False
        self.registered = False

    def submit(self, message: FromAgent, frame: bytes, now: float) -> None:
        """Take a message (and its encoded form) from the agent for sending."""
        if isinstance(message, JobDone | JobFailed):
            key = (message.job_id, message.attempt)
            self._unacknowledged[key] = _Unacknowledged(frame=frame, due_at=now, delay_seconds=RESEND_SECONDS)
            return
        if isinstance(message, Ready):
            self._ready = message
            if not self.registered:
                return  # the Welcome that ends this registration sends it
        self._queue.append(frame)

    def heartbeat(self, now: float) -> Heartbeat:
        """Return what a heartbeat would say now."""
        return self._heartbeat(now, self.frames_dropped)

    def owes_logs(self, now: float) -> bool:
        """Say whether log lines wait that can still be told; asking means that the end is near, so they are sent as fast as it goes."""
        self._is_closing = True
        return self.registered and self.logs is not None and self.logs.seconds_until_due(now) is not None

    def say_goodbye(self, reason: str) -> None:
        """Send Goodbye as the last message, ahead of everything that is still owed."""
        self._goodbye = encode(Goodbye(reason=reason))

    def receive(self, message: ToAgent, now: float) -> ToAgent | None:
        """Take a message from the controller; return it when it concerns the agent, None when it was for the link alone."""
        self.last_heard = now
        if isinstance(message, Welcome):
            return self._welcome(message, now)
        if isinstance(message, Pulse):
            if not message.registered and self.registered:
                self._register_again(now)
            return None
        if isinstance(message, JobAck):
            self._unacknowledged.pop((message.job_id, message.attempt), None)
        if isinstance(message, Reject):
            self.finished = True
        return message

    def next_frame(self, now: float) -> bytes | None:
        """Return the next frame to send now, or None when nothing is due."""
        if not self.is_connected or self.finished:
            return None
        if self._goodbye is not None:
            self.finished = True
            return self._goodbye
        if self.registered and now - self.last_heard > self._controller_timeout_seconds:
            self._register_again(now)
        return self._next_registered(now) if self.registered else self._next_register(now)

    def next_due(self, now: float) -> float:
        """Return how many seconds may pass before `next_frame` must be asked again, when nothing else happens."""
        if self.finished or not self.is_connected:
            return REGISTER_SECONDS
        if not self.registered:
            return max(0.0, self._register_at - now)
        due_at = min([self._heartbeat_at, *(entry.due_at for entry in self._unacknowledged.values())])
        logs_seconds = self.logs.seconds_until_due(now) if self.logs is not None else None
        due_seconds = due_at - now if logs_seconds is None else min(due_at - now, logs_seconds)
        return max(0.0, due_seconds)

    def _welcome(self, message: Welcome, now: float) -> ToAgent | None:
        if self._run_id not in (None, message.run_id):
            self.finished = True
            return Reject(reason=f"the endpoint now serves run {message.run_id}, this agent belongs to {self._run_id}")
        is_first = self._run_id is None
        if not self.registered:
            self.registered = True
            self._heartbeat_at = now
            if self._ready is not None:
                self._queue.appendleft(encode(self._ready))
            for entry in self._unacknowledged.values():
                entry.due_at = now
        self._run_id = message.run_id
        self._heartbeat_seconds = max(message.heartbeat_seconds, MIN_HEARTBEAT_SECONDS)
        self.register = dataclasses.replace(self.register, agent=message.agent)
        return message if is_first else None

    def _register_again(self, now: float) -> None:
        self.registered = False
        self._register_at = now

    def _next_register(self, now: float) -> bytes | None:
        if now < self._register_at:
            return None
        self._register_at = now + REGISTER_SECONDS
        return encode(self.register)

    def _next_registered(self, now: float) -> bytes | None:
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._heartbeat_seconds
            return encode(self._heartbeat(now, self.frames_dropped))
        if self._queue:
            return self._queue.popleft()
        for entry in self._unacknowledged.values():
            if now >= entry.due_at:
                entry.due_at = now + entry.delay_seconds
                entry.delay_seconds = min(2 * entry.delay_seconds, RESEND_MAX_SECONDS)
                return entry.frame
        lines = self.logs.take(now, hurry=self._is_closing) if self.logs is not None else None
        return encode(lines) if lines is not None else None
