"""What an agent's connection owes the controller and when: a state machine without sockets, threads or clock.

Registering -> registered -> (reconnected, silence or Pulse(registered=False)) -> registering. Invariants: a JobDone or JobFailed is sent
again until its JobAck came; nothing but Register and Goodbye is sent before the Welcome of this connection; every registration after the
first repeats Ready, so the agent's main thread need not know that the controller was away. Time is passed in (seconds, monotonic).
"""

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocol.codec import encode
from protocol.messages import FromAgent, Goodbye, Heartbeat, JobAck, JobDone, JobFailed, Pulse, Ready, Register, Reject, ToAgent, Welcome

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


class AgentLink:
    """Feed it what happened (`connected`, `receive`, `submit`) and send what `next_frame` gives until it gives None."""

    def __init__(
        self, register: Register, *, controller_timeout_seconds: float, heartbeat: Callable[[float], Heartbeat], now: float
    ) -> None:
        self.registered = False
        self.is_connected = False
        self.finished = False
        self.last_heard = now
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
        if not self.registered:
            return max(0.0, self._register_at - now) if self.is_connected else REGISTER_SECONDS
        due_at = min([self._heartbeat_at, *(entry.due_at for entry in self._unacknowledged.values())])
        return max(0.0, due_at - now)

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
            return encode(self._heartbeat(now))
        if self._queue:
            return self._queue.popleft()
        for entry in self._unacknowledged.values():
            if now >= entry.due_at:
                entry.due_at = now + entry.delay_seconds
                entry.delay_seconds = min(2 * entry.delay_seconds, RESEND_MAX_SECONDS)
                return entry.frame
        return None
