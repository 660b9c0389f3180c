"""How every socket of the bus is made: bounded queues, bounded frames, dead connections noticed, no endless linger."""

import errno
import socket as posix
from typing import Any

import zmq

from protocol.codec import MAX_CONTROL_FRAME_BYTES
from protocol.errors import ChannelError

BusContext = zmq.Context[zmq.Socket[bytes]]
BusSocket = zmq.Socket[bytes]

_QUEUE_MESSAGES = 1000
_HANDSHAKE_MILLISECONDS = 10_000
_PING_MILLISECONDS = 5_000
_PING_TIMEOUT_MILLISECONDS = 30_000
_RECONNECT_MILLISECONDS = 100
_RECONNECT_MAX_MILLISECONDS = 2_000
_LINGER_MILLISECONDS = 500
_MAX_PORT = 65_535
# As integers: pyzmq's flags are enumerations, whose arithmetic costs more than the receiving.
_NOBLOCK, _RCVMORE = int(zmq.NOBLOCK), int(zmq.RCVMORE)
_WILDCARD_HOSTS = ("0.0.0.0", "[::]", "*")


def new_socket(context: BusContext, kind: int) -> BusSocket:
    """Return a socket with the limits of the bus, neither bound nor connected."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, _QUEUE_MESSAGES)
    socket.setsockopt(zmq.RCVHWM, _QUEUE_MESSAGES)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_CONTROL_FRAME_BYTES)
    socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MILLISECONDS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, _PING_MILLISECONDS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _PING_TIMEOUT_MILLISECONDS)
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MILLISECONDS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MILLISECONDS)
    socket.setsockopt(zmq.LINGER, _LINGER_MILLISECONDS)
    return socket


def bind(socket: BusSocket, endpoint: str) -> str:
    """Bind and return the real endpoint; port 0 takes a free one. Raises ChannelError that names the endpoint."""
    port = endpoint.rpartition(":")[2]
    if endpoint.startswith("tcp://") and port.isdecimal() and int(port) > _MAX_PORT:
        raise ChannelError(f"cannot listen on {endpoint}: expected a port from 0 to {_MAX_PORT} in bus.bind")
    _refuse_live_ipc(endpoint)
    try:
        socket.bind(f"{endpoint[:-2]}:*" if endpoint.startswith("tcp://") and endpoint.endswith(":0") else endpoint)
    except zmq.ZMQError as error:
        raise ChannelError(f"cannot listen on {endpoint}: {_bind_advice(error)}") from error
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def connect(socket: BusSocket, endpoint: str) -> None:
    """Begin to connect (libzmq does so in the background, for ever). Raises ChannelError for what is no endpoint."""
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise ChannelError(f"expected an endpoint such as tcp://host:5555 or ipc:///path, got {endpoint!r}: {error.strerror}") from error


def reachable_endpoint(endpoint: str, hostname: str) -> str:
    """Replace a wildcard address (tcp://0.0.0.0:5555) by the name under which other hosts find this one."""
    if not endpoint.startswith("tcp://"):
        return endpoint
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return f"tcp://{hostname}:{port}" if host in _WILDCARD_HOSTS else endpoint


def receive_frame(socket: BusSocket) -> list[bytes] | None:
    """Return the parts of a waiting message, None when there is none."""
    try:
        parts = [socket.recv(_NOBLOCK)]
    except zmq.Again:
        return None
    while socket.getsockopt(_RCVMORE):
        parts.append(socket.recv(_NOBLOCK))
    return parts


def _refuse_live_ipc(endpoint: str) -> None:
    """Raise ChannelError when a live process listens on an ipc path: libzmq itself would silently take the path away from it."""
    if not endpoint.startswith("ipc://"):
        return
    path: Any = endpoint.removeprefix("ipc://")
    with posix.socket(posix.AF_UNIX, posix.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return
    raise ChannelError(f"cannot listen on {endpoint}: another process does; stop it or choose another bus.bind")


def _bind_advice(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; stop the process that has it, or set bus.bind to tcp://127.0.0.1:0 for a free port"
    return f"{error.strerror}; set bus.bind to an address of this machine, such as tcp://127.0.0.1:0"
