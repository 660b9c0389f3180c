"""The thread that owns an agent's DEALER socket: it moves frames between the socket and bounded queues, and nothing else.

`protocol.link` decides what is owed and when, this file acts. Invariant: no other thread ever touches the socket; the queues, `wake` and
`stop` are all that others use. It sleeps in one poll (socket, connection events, wake-ups) with a deadline, never in a busy loop.
"""

import queue
import socket as posix
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog
import zmq
from zmq.utils.monitor import parse_monitor_message

from protocol.codec import decode_to_agent, encode
from protocol.errors import ProtocolError
from protocol.link import AgentLink
from protocol.messages import FromAgent, Heartbeat, StackReport, ToAgent
from protocol.security import ConnectionInfo, secure_client
from protocol.sockets import BusContext, BusSocket, connect, new_socket, receive_frame

log = structlog.get_logger()

MAX_WAITING_MESSAGES = 4096
MAX_BATCH = 256
"""Most messages that are received before everything else has its turn."""
MAX_DROPS_LOGGED = 100
_MAX_POLL_SECONDS = 1.0
_REFRESH_SECONDS = 1.0
_MAX_REFRESH_AFTER_SECONDS = 5.0
_ADVICE = "use the connection file of the run as it is now"
_FAILED_HANDSHAKES: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: f"the controller refused our key; {_ADVICE}",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: f"the peer speaks another handshake; {_ADVICE}",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: f"the peer hung up during the handshake; {_ADVICE}",
}
_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | sum(_FAILED_HANDSHAKES)

_SENTINEL_SECONDS = 0.25

Refresh = Callable[[], ConnectionInfo | None]


class Sentinel(Protocol):
    """Watches the agent's main thread from the bus thread; asked several times a second, whether there is a controller or not."""

    def __call__(self, beat: Heartbeat, *, listening: bool, refused: bool) -> StackReport | None:
        """Return what the controller should be told of the main thread, if it listens. `refused`: it will never listen again."""
        ...


class BusThread:
    """Runs from construction until `stop`, a Reject or a failure (kept in `failure`).

    `problem` is the last trouble with the connection, "" while all is well; `frames_dropped` counts malformed frames.
    """

    def __init__(
        self,
        info: ConnectionInfo,
        link: AgentLink,
        *,
        refresh: Refresh | None,
        controller_timeout_seconds: float,
        arrival: threading.Event | None = None,
    ) -> None:
        self.info = info
        self.inbox: queue.Queue[ToAgent] = queue.Queue(MAX_WAITING_MESSAGES)
        self.outbox: queue.Queue[tuple[FromAgent, bytes]] = queue.Queue(MAX_WAITING_MESSAGES)
        self.problem = "no answer yet"
        self.failure: Exception | None = None
        self.sentinel: Sentinel | None = None
        self._link = link
        self._refresh = refresh
        self._arrival = arrival or threading.Event()
        self._refresh_after_seconds = min(controller_timeout_seconds / 3, _MAX_REFRESH_AFTER_SECONDS)
        self._refresh_at = 0.0
        self._must_reopen = False
        self._sentinel_at = 0.0
        self._blocked: bytes | None = None
        self._closing: tuple[str, float] | None = None
        self._wake_reader, self._wake_writer = posix.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._context = BusContext()
        try:
            self._socket, self._monitor = self._open()
        except OSError:
            self._release()
            raise
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)
        self._thread.start()

    @property
    def frames_dropped(self) -> int:
        """Return how many malformed frames came."""
        return self._link.frames_dropped

    @property
    def num_owed(self) -> int:
        """Return how many messages are not yet sent, or sent and not acknowledged."""
        return self.outbox.qsize() + self._link.num_owed + (self._blocked is not None)

    def wake(self) -> None:
        """Make the thread look at its queues now."""
        try:
            self._wake_writer.send(b"\0")
        except BlockingIOError:
            return  # a wake-up is already waiting

    def stop(self, reason: str, timeout_seconds: float, grace_seconds: float) -> bool:
        """Send what is owed within `timeout_seconds`, say Goodbye and end; False when the thread did not end within the grace."""
        self._closing = (reason, time.monotonic() + timeout_seconds)
        self.wake()
        self._thread.join(timeout_seconds + grace_seconds)
        if self._thread.is_alive():
            return False
        self._release()
        return True

    def _release(self) -> None:
        self._context.term()
        self._wake_reader.close()
        self._wake_writer.close()

    def _open(self) -> tuple[BusSocket, BusSocket]:
        socket = new_socket(self._context, zmq.DEALER)
        # Frames queue here, not in libzmq, until there is a connection: the first frame of each connection must be Register.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        monitor: Any = socket.get_monitor_socket(_EVENTS)
        try:
            secure_client(socket, self.info)
            connect(socket, self.info.endpoint)
        except OSError:
            _close(socket, monitor, linger_milliseconds=0)
            raise
        return socket, monitor

    def _run(self) -> None:
        try:
            while not self._may_leave(time.monotonic()):
                self._wait(self._pump(time.monotonic()))
            self._pump(time.monotonic())
        except Exception as error:
            self.failure = error
            log.exception("bus_thread_failed")
        finally:
            _close(self._socket, self._monitor, linger_milliseconds=None)

    def _may_leave(self, now: float) -> bool:
        """Say whether the thread may end: told to by a Reject, Goodbye is out, nobody is there to hear it, or time is up."""
        if self._closing is None:
            return self._link.finished and self.sentinel is None
        nobody_there = not self._link.is_connected and self.num_owed == 0
        return nobody_there or now >= self._closing[1] or (self._link.finished and self._blocked is None)

    def _pump(self, now: float) -> float:
        """Do everything that is due; return the seconds until something else is."""
        self._watch_connection(now)
        self._receive(now)
        self._take_outbox(now)
        self._say_goodbye(now)
        self._send(now)
        self._look_elsewhere(now)
        self._ask_sentinel(now)
        due_seconds = min(self._link.next_due(now), _MAX_POLL_SECONDS if self.sentinel is None else _SENTINEL_SECONDS)
        return due_seconds if self._closing is None else min(due_seconds, max(0.0, self._closing[1] - now))

    def _wait(self, timeout_seconds: float) -> None:
        poller = zmq.Poller()
        wanted = (0 if self.inbox.full() else zmq.POLLIN) | (0 if self._blocked is None else zmq.POLLOUT)
        if wanted:
            poller.register(self._socket, wanted)
        poller.register(self._monitor, zmq.POLLIN)
        poller.register(self._wake_reader.fileno(), zmq.POLLIN)
        # Rounded up: a deadline 0.4 ms away must not become a busy loop of zero-length polls.
        poller.poll(int(timeout_seconds * 1000) + 1)
        try:
            self._wake_reader.recv(4096)
        except BlockingIOError:
            return

    def _watch_connection(self, now: float) -> None:
        while (parts := receive_frame(self._monitor)) is not None:
            event = int(parse_monitor_message(parts)["event"])
            self._blocked = None
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.problem = ""
                self._link.connected(now)
                continue
            self._link.disconnected()
            if event in _FAILED_HANDSHAKES:
                self.problem = _FAILED_HANDSHAKES[event]
                # libzmq gives a socket up after some of these; a fresh one tries again.
                self._must_reopen = True
            else:
                self.problem = self.problem or "the connection was lost"

    def _receive(self, now: float) -> None:
        # In batches, so that a flood does not keep the heartbeats from going out.
        for _ in range(MAX_BATCH):
            if self.inbox.full() or (parts := receive_frame(self._socket)) is None:
                return
            try:
                if len(parts) != 1:
                    raise ProtocolError(f"expected one frame, got {len(parts)}")
                message = self._link.receive(decode_to_agent(parts[0]), now)
            except ProtocolError as error:
                self._link.frames_dropped += 1
                if self.frames_dropped <= MAX_DROPS_LOGGED:
                    log.warning("frame_dropped", reason=str(error), frames_dropped=self.frames_dropped)
                continue
            if message is not None:
                self.inbox.put_nowait(message)
                self._arrival.set()

    def _take_outbox(self, now: float) -> None:
        # What is not taken stays in the outbox, and a full outbox stops the agent: a controller that is away costs no more memory.
        while self._link.num_owed < MAX_WAITING_MESSAGES:
            try:
                message, frame = self.outbox.get_nowait()
            except queue.Empty:
                return
            self._link.submit(message, frame, now)

    def _say_goodbye(self, now: float) -> None:
        if self._closing is None:
            return
        owes = self._link.owes_logs(now) or self.num_owed > 0
        if not owes or now >= self._closing[1]:
            self._link.say_goodbye(self._closing[0])

    def _send(self, now: float) -> None:
        while (frame := self._blocked or self._link.next_frame(now)) is not None:
            try:
                self._socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:
                self._blocked = frame
                return
            self._blocked = None

    def _ask_sentinel(self, now: float) -> None:
        if self.sentinel is None or now < self._sentinel_at:
            return
        self._sentinel_at = now + _SENTINEL_SECONDS
        is_refused = self._link.finished and self._closing is None
        report = self.sentinel(self._link.heartbeat(now), listening=self._link.registered and not is_refused, refused=is_refused)
        if report is not None:
            self._link.submit(report, encode(report), now)

    def _look_elsewhere(self, now: float) -> None:
        """Follow the connection file when the controller is silent: it may have started again with another endpoint and keys."""
        is_silent = now - self._link.last_heard > self._refresh_after_seconds
        if self._link.registered or now < self._refresh_at or not (is_silent or self._must_reopen):
            return
        self._refresh_at = now + _REFRESH_SECONDS
        info = self._refresh() if self._refresh is not None else None
        if info is not None and info != self.info:
            log.info("controller_moved", endpoint=info.endpoint)
            self.info = info
            self._must_reopen = True
        if self._must_reopen:
            self._reopen()

    def _reopen(self) -> None:
        _close(self._socket, self._monitor, linger_milliseconds=0)
        self._must_reopen = False
        self._link.disconnected()
        self._blocked = None
        self._socket, self._monitor = self._open()


def _close(socket: BusSocket, monitor: BusSocket, linger_milliseconds: int | None) -> None:
    if not socket.closed:
        socket.disable_monitor()
        monitor.close(linger=0)
        socket.close(linger=linger_milliseconds)
