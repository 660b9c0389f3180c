"""The key file of a run: its CURVE keys and its port, so that a controller that starts again is found where the last one was.

An agent on another host has a copy of the connection file and cannot see a new one. Invariant: a secret that others could have read, or
that is damaged, is never used again. Deleting the file revokes every copy of the connection file at the controller's next start.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import zmq
from pydantic_core import ValidationError

from protocol.schema import body_validator
from protocol.security import OTHERS_MAY_READ, ClientKeys, ServerKeys, new_client_keys, new_server_keys, write_private_file

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKeys:
    """What the key file holds. Keys are Z85, "" without CURVE; `port` is where a controller listened that was asked to listen on `bind`,
    0 before the first did.
    """

    server_public_key: str
    server_secret_key: str = field(repr=False)
    client_public_key: str
    client_secret_key: str = field(repr=False)
    bind: str
    port: int

    @property
    def server(self) -> ServerKeys:
        """Return the controller's keys."""
        return ServerKeys(public_key=self.server_public_key, secret_key=self.server_secret_key)

    @property
    def client(self) -> ClientKeys:
        """Return the keys of agents and observers."""
        return ClientKeys(public_key=self.client_public_key, secret_key=self.client_secret_key)


def new_run_keys(*, curve: bool) -> RunKeys:
    """Return fresh keys and no port yet. Raises ChannelError when libzmq was built without CURVE."""
    if not curve:
        return RunKeys(server_public_key="", server_secret_key="", client_public_key="", client_secret_key="", bind="", port=0)
    server, client = new_server_keys(), new_client_keys()
    return RunKeys(
        server_public_key=server.public_key,
        server_secret_key=server.secret_key,
        client_public_key=client.public_key,
        client_secret_key=client.secret_key,
        bind="",
        port=0,
    )


def read_run_keys(path: Path, *, curve: bool) -> RunKeys | None:
    """Return the keys of a run; None, with a warning, when they cannot be trusted, and when there are none."""
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(path, f"cannot be read: {error.strerror}")
        return None
    keys, problem = _checked(mode, data, curve=curve)
    if problem:
        _warn(path, problem)
    return keys


def write_run_keys(keys: RunKeys, path: Path) -> None:
    """Write the key file whole or not at all, mode 0600. Raises ChannelError."""
    write_private_file(path, json.dumps(dataclasses.asdict(keys), indent=2) + "\n", what="key file")


def _checked(mode: int, data: bytes, *, curve: bool) -> tuple[RunKeys | None, str]:
    """Return the keys, or None and why they are not used."""
    if mode & OTHERS_MAY_READ:
        return None, f"could be read by others (mode {mode & 0o777:o})"
    try:
        keys = body_validator(RunKeys).validate_python(json.loads(data))
    except (ValueError, ValidationError, RecursionError) as error:
        return None, f"is damaged ({type(error).__name__})"
    assert isinstance(keys, RunKeys)
    if curve and not (_is_pair(keys.server) and _is_pair(keys.client)):
        return None, "holds no CURVE keys"
    return keys, ""


def _warn(path: Path, why: str) -> None:
    log.warning("key_file_refused", path=str(path), reason=why, advice="the run gets new keys; copy connection.json to other hosts again")


def _is_pair(keys: ServerKeys | ClientKeys) -> bool:
    try:
        return zmq.curve_public(keys.secret_key.encode("ascii")) == keys.public_key.encode("ascii")
    except (zmq.ZMQError, ValueError):
        return False
