"""Open the controller's socket where the run's last controller had it, with the same keys, so that whoever knows the run finds it again."""

import dataclasses
import time

import structlog

from protocol.errors import ChannelError
from protocol.key_file import RunKeys, new_run_keys, read_run_keys, write_run_keys
from protocol.router import ControllerSocket
from seal_runtime.config.topology import BusConfig
from seal_runtime.store.run_directory import RunDirectory

log = structlog.get_logger()

PORT_WAIT_SECONDS = 2.0
"""How long the former port is tried: an agent's attempt to reconnect can hold it for an instant when nobody listens."""
_RETRY_SECONDS = 0.1


def listen(bus: BusConfig, run: RunDirectory, *, run_id: str) -> ControllerSocket:
    """Listen with the run's keys on its port; one that is taken by now is replaced, with a warning. Raises ChannelError."""
    kept = read_run_keys(run.keys, curve=bus.curve)
    keys = kept or new_run_keys(curve=bus.curve)
    socket = _former_port(bus, keys, run_id) or _open(bus.bind, bus, keys, run_id)
    try:
        now_kept = dataclasses.replace(keys, bind=bus.bind, port=_port(socket.endpoint))
        if now_kept != kept:
            write_run_keys(now_kept, run.keys)
    except ChannelError:
        socket.close()
        raise
    return socket


def _former_port(bus: BusConfig, keys: RunKeys, run_id: str) -> ControllerSocket | None:
    """Listen where the last controller did, when the topology leaves the port free; None when that is not possible."""
    if not keys.port or keys.bind != bus.bind or not bus.bind.startswith("tcp://") or not bus.bind.endswith((":0", ":*")):
        return None
    endpoint = f"{bus.bind.rpartition(':')[0]}:{keys.port}"
    deadline = time.monotonic() + PORT_WAIT_SECONDS
    while True:
        try:
            return _open(endpoint, bus, keys, run_id)
        except ChannelError as error:
            if time.monotonic() > deadline:
                log.warning("port_lost", port=keys.port, reason=str(error), advice="copy connection.json to other hosts again")
                return None
        time.sleep(_RETRY_SECONDS)


def _open(endpoint: str, bus: BusConfig, keys: RunKeys, run_id: str) -> ControllerSocket:
    return ControllerSocket.bind(endpoint, run_id=run_id, curve=bus.curve, server=keys.server, client=keys.client)


def _port(endpoint: str) -> int:
    port = endpoint.rpartition(":")[2]
    return int(port) if endpoint.startswith("tcp://") and port.isdecimal() else 0
