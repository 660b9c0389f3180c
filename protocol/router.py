"""The controller's end of the bus: one ROUTER socket, one thread, no state of the run.

Invariant: whatever arrives, `poll` returns only well-formed messages and never raises; what was refused is counted and its reason kept.
A peer id names a connection, not an agent: an agent that reconnects gets a new id and registers again.
"""

import os
import socket as posix
import time
from collections import deque

import structlog
import zmq

from protocol.codec import decode_to_controller, encode
from protocol.errors import ProtocolError
from protocol.messages import ToAgent, ToController, ToObserver
from protocol.security import AllowList, ClientKeys, ConnectionInfo, ServerKeys, new_client_keys, new_server_keys
from protocol.sockets import BusContext, BusSocket, bind, new_socket, reachable_endpoint, receive_frame

log = structlog.get_logger()

MAX_BATCH = 256
"""Most messages of one `poll`, so that a flood cannot keep the caller from its other work."""
MAX_DROP_REASONS = 100
_NO_KEY = ""
# As integers: pyzmq's flags are enumerations, whose arithmetic costs more than the sending.
_NOBLOCK, _SNDMORE = int(zmq.NOBLOCK), int(zmq.SNDMORE)


class ControllerSocket:
    """Open with `ControllerSocket.bind`; use and close it in one thread. `connection` is what goes into the connection file.

    `frames_dropped` counts refused frames, `drop_reasons` holds the last of their reasons; `sends_dropped` counts messages to peers
    that were gone or did not read; `clients_denied` counts handshakes with an unknown key.
    """

    def __init__(self, context: BusContext, socket: BusSocket, allow_list: AllowList | None, connection: ConnectionInfo) -> None:
        self.connection = connection
        self.frames_dropped = 0
        self.sends_dropped = 0
        self.drop_reasons: deque[str] = deque(maxlen=MAX_DROP_REASONS)
        self._context = context
        self._socket = socket
        self._allow_list = allow_list
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        if allow_list is not None:
            self._poller.register(allow_list.socket, zmq.POLLIN)

    @classmethod
    def bind(
        cls, endpoint: str, *, run_id: str, curve: bool, server: ServerKeys | None = None, client: ClientKeys | None = None
    ) -> "ControllerSocket":
        """Listen on an endpoint (`tcp://host:port`, port 0 for a free one, or `ipc://path`) with these keys, fresh ones when left out.

        Raises ChannelError when the endpoint is taken or impossible, or libzmq lacks CURVE.
        """
        server = server or new_server_keys() if curve else ServerKeys(public_key=_NO_KEY, secret_key=_NO_KEY)
        client = client or new_client_keys() if curve else ClientKeys(public_key=_NO_KEY, secret_key=_NO_KEY)
        context = BusContext()
        allow_list = AllowList(context, frozenset({client.public_key})) if curve else None
        socket = new_socket(context, zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            if allow_list is not None:
                allow_list.secure_server(socket, server)
            bound = bind(socket, endpoint)
        except OSError:
            context.destroy(linger=0)
            raise
        hostname = posix.gethostname()
        connection = ConnectionInfo(
            run_id=run_id,
            endpoint=reachable_endpoint(bound, hostname),
            server_public_key=server.public_key,
            client_public_key=client.public_key,
            client_secret_key=client.secret_key,
            controller_pid=os.getpid(),
            hostname=hostname,
            started_at=time.time(),
        )
        return cls(context, socket, allow_list, connection)

    @property
    def endpoint(self) -> str:
        """Return the endpoint that peers connect to."""
        return self.connection.endpoint

    @property
    def clients_denied(self) -> int:
        """Return how many handshakes were refused for an unknown key."""
        return 0 if self._allow_list is None else self._allow_list.denied

    def poll(self, timeout_seconds: float) -> list[tuple[bytes, ToController]]:
        """Return the messages that are there, with their peer ids; wait for the first at most `timeout_seconds`. Never raises."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            remaining_milliseconds = max(0, round((deadline - time.monotonic()) * 1000))
            ready = dict(self._poller.poll(remaining_milliseconds))
            if self._allow_list is not None and self._allow_list.socket in ready:
                self._allow_list.serve()
            messages = self._drain() if self._socket in ready else []
            if messages or time.monotonic() >= deadline:
                return messages

    def send(self, peer_id: bytes, message: ToAgent | ToObserver) -> bool:
        """Queue a message for a peer; False when the peer is gone or does not read (then the message is dropped). Never waits.

        Raises ProtocolError when the message itself has no wire form.
        """
        frame = encode(message)
        try:
            self._socket.send(peer_id, _NOBLOCK | _SNDMORE)
            self._socket.send(frame, _NOBLOCK)
        except zmq.ZMQError as error:
            self.sends_dropped += 1
            log.debug("send_dropped", message=type(message).__name__, reason=error.strerror)
            return False
        return True

    def close(self) -> None:
        """Stop listening; what was sent in the last moment still goes out (bounded by the linger time)."""
        self._socket.close()
        if self._allow_list is not None:
            self._allow_list.close()
        self._context.term()

    def _drain(self) -> list[tuple[bytes, ToController]]:
        messages: list[tuple[bytes, ToController]] = []
        for _ in range(MAX_BATCH):
            parts = receive_frame(self._socket)
            if parts is None:
                break
            try:
                if len(parts) != 2:
                    raise ProtocolError(f"expected one frame, got {len(parts) - 1}")
                messages.append((parts[0], decode_to_controller(parts[1])))
            except ProtocolError as error:
                self._drop(parts[0], error)
        return messages

    def _drop(self, peer_id: bytes, error: ProtocolError) -> None:
        self.frames_dropped += 1
        self.drop_reasons.append(str(error))
        if self.frames_dropped <= MAX_DROP_REASONS:
            log.warning("frame_dropped", peer=peer_id[:16].hex(), reason=str(error), frames_dropped=self.frames_dropped)
