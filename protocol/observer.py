"""The observer's end of the bus: one question, one answer, a deadline. Used by the command line; holds no state of a run."""

import time

import zmq

from protocol.codec import decode_to_observer, encode
from protocol.errors import ChannelTimeout
from protocol.messages import FromObserver, ToObserver
from protocol.security import ConnectionInfo, secure_client
from protocol.sockets import BusContext, BusSocket, connect, new_socket, receive_frame


class ObserverClient:
    """Connects on construction (ChannelError when the connection file is malformed). Belongs to one thread; `close` it."""

    def __init__(self, info: ConnectionInfo) -> None:
        self._info = info
        self._context = BusContext()
        try:
            self._socket = self._open()
        except OSError:
            self._context.destroy(linger=0)
            raise

    def request(self, message: FromObserver, timeout_seconds: float) -> ToObserver:
        """Send a request and return the answer (which may be a Reject).

        Raises ChannelTimeout when no answer came in time, ProtocolError when what came is not an answer.
        """
        deadline = time.monotonic() + timeout_seconds
        self._socket.send(encode(message))
        while (remaining_seconds := deadline - time.monotonic()) > 0:
            self._socket.poll(int(remaining_seconds * 1000) + 1)
            parts = receive_frame(self._socket)
            if parts is not None:
                return decode_to_observer(b"".join(parts))
        # A late answer must not be taken for the answer to the next request: leave it to a socket that is gone.
        self._socket.close(linger=0)
        self._socket = self._open()
        raise ChannelTimeout(
            f"the controller of run {self._info.run_id} (pid {self._info.controller_pid} on {self._info.hostname}) did not answer at "
            f"{self._info.endpoint} within {timeout_seconds:g} s; is it running, and is this its connection file?"
        )

    def close(self) -> None:
        """Disconnect."""
        self._socket.close(linger=0)
        self._context.term()

    def __enter__(self) -> "ObserverClient":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _open(self) -> BusSocket:
        socket = new_socket(self._context, zmq.DEALER)
        try:
            secure_client(socket, self._info)
            connect(socket, self._info.endpoint)
        except OSError:
            socket.close(linger=0)
            raise
        return socket
