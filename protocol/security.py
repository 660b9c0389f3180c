"""Who is heard: CURVE keys, the connection file that carries them, and the allow-list of the ROUTER.

A run has one server key pair and one client key pair (`protocol.key_file` keeps them); whoever can read the connection file (mode 0600)
may speak to the run, nobody else gets past the handshake. Without CURVE (`bus.curve: false`) the keys are "".
"""

import dataclasses
import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import zmq
import zmq.utils.z85
from pydantic_core import ValidationError

from protocol.errors import ChannelError
from protocol.schema import body_validator

log = structlog.get_logger()

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
ZAP_DOMAIN = b"seal-runtime"
_ZAP_VERSION = b"1.0"
_ZAP_REQUEST_PARTS = 7
"""version, request id, domain, address, identity, mechanism, client key."""
OTHERS_MAY_READ = 0o077
"""Bits of a file's mode that a file with a key must not have."""
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKeys:
    """The controller's CURVE key pair, Z85."""

    public_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKeys:
    """The run's access key, shared by its agents and observers, Z85."""

    public_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """All that one needs to speak to a run; `started_at` is in seconds since the epoch. Empty keys mean that CURVE is off."""

    run_id: str
    endpoint: str
    server_public_key: str
    client_public_key: str
    client_secret_key: str = field(repr=False)
    controller_pid: int
    hostname: str
    started_at: float


def new_server_keys() -> ServerKeys:
    """Return a fresh key pair. Raises ChannelError when libzmq was built without CURVE."""
    public_key, secret_key = _new_key_pair()
    return ServerKeys(public_key=public_key, secret_key=secret_key)


def new_client_keys() -> ClientKeys:
    """Return a fresh key pair. Raises ChannelError when libzmq was built without CURVE."""
    public_key, secret_key = _new_key_pair()
    return ClientKeys(public_key=public_key, secret_key=secret_key)


def secure_client(socket: zmq.Socket[bytes], info: ConnectionInfo) -> None:
    """Give a socket the keys of the connection file, before it connects. Raises ChannelError for keys that are no keys."""
    if not info.server_public_key:
        return
    _require_curve()
    try:
        socket.setsockopt(zmq.CURVE_SERVERKEY, info.server_public_key.encode("ascii"))
        socket.setsockopt(zmq.CURVE_PUBLICKEY, info.client_public_key.encode("ascii"))
        socket.setsockopt(zmq.CURVE_SECRETKEY, info.client_secret_key.encode("ascii"))
    except (zmq.ZMQError, ValueError) as error:
        raise ChannelError(f"the connection file of run {info.run_id} holds malformed CURVE keys: {error}; copy the file again") from error


class AllowList:
    """Answers libzmq's question whether a client key may enter (ZAP, RFC 27). Serve it whenever `socket` is readable.

    Must exist before the server socket of the same context binds. A request that is not for our domain, or is malformed, is denied.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed_public_keys: frozenset[str]) -> None:
        self.denied = 0
        self._allowed = frozenset(zmq.utils.z85.decode(key) for key in allowed_public_keys)
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(ZAP_ENDPOINT)

    def secure_server(self, socket: zmq.Socket[bytes], keys: ServerKeys) -> None:
        """Make a socket a CURVE server that asks this list."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret_key.encode("ascii"))
        socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)

    def serve(self) -> None:
        """Answer one waiting request."""
        parts = self.socket.recv_multipart()
        request_id = parts[1] if len(parts) > 1 else b""
        if self._may_enter(parts):
            status, text, user = b"200", b"OK", b"run-key"
        else:
            self.denied += 1
            status, text, user = b"400", b"unknown key", b""
        self.socket.send_multipart([_ZAP_VERSION, request_id, status, text, user, b""])

    def close(self) -> None:
        """Release the socket."""
        self.socket.close()

    def _may_enter(self, parts: list[bytes]) -> bool:
        if len(parts) != _ZAP_REQUEST_PARTS:
            return False
        version, _, domain, _, _, mechanism, key = parts
        return version == _ZAP_VERSION and domain == ZAP_DOMAIN and mechanism == b"CURVE" and key in self._allowed


def write_connection_file(info: ConnectionInfo, path: Path) -> None:
    """Write the file so that it is there whole or not at all and only its owner reads it. Raises ChannelError."""
    write_private_file(path, json.dumps(dataclasses.asdict(info), indent=2) + "\n", what="connection file")


def write_private_file(path: Path, text: str, *, what: str) -> None:
    """Write a text whole or not at all, for the owner's eyes only. Raises ChannelError that names `what` could not be written."""
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        os.replace(staging, path)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise ChannelError(f"cannot write the {what} {path}: {error.strerror}; is the disk full or read-only?") from error


def read_connection_file(path: Path) -> ConnectionInfo:
    """Return the content of a connection file; warns when others may read it. Raises ChannelError that says what to do."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ChannelError(f"no connection file {path}: is the run started, and is this its directory?") from error
    except OSError as error:
        raise ChannelError(
            f"cannot read the connection file {path}: {error.strerror}; it belongs to the user who launched the run"
        ) from error
    if mode & OTHERS_MAY_READ:
        log.warning("connection_file_exposed", path=str(path), mode=oct(mode & 0o777), advice=f"chmod 600 {path}: it holds the run's key")
    try:
        info = body_validator(ConnectionInfo).validate_python(json.loads(data))
    except (ValueError, ValidationError, RecursionError) as error:
        raise ChannelError(
            f"{path} is not a connection file of this release ({type(error).__name__}); take the one in the run directory"
        ) from error
    assert isinstance(info, ConnectionInfo)
    return info


def _new_key_pair() -> tuple[str, str]:
    _require_curve()
    public_key, secret_key = zmq.curve_keypair()
    return public_key.decode("ascii"), secret_key.decode("ascii")


def _require_curve() -> None:
    if not zmq.has("curve"):
        raise ChannelError("this libzmq was built without CURVE: install pyzmq from its wheel, or set bus.curve: false on a trusted host")
