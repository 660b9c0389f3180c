"""A controller that starts again is found where the last one was, with the same keys; otherwise it says so."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from protocol.errors import ChannelError
from protocol.router import ControllerSocket
from seal_runtime.config.topology import BusConfig
from seal_runtime.controller import listening
from seal_runtime.store.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def listen(run: RunDirectory, bus: BusConfig | None = None) -> ControllerSocket:
    return listening.listen(bus or BusConfig(), run, run_id="toy")


def keys_of(controller: ControllerSocket) -> tuple[str, str, str, str]:
    info = controller.connection
    return info.endpoint, info.server_public_key, info.client_public_key, info.client_secret_key


@pytest.mark.parametrize("curve", [True, False])
def test_port_and_keys_last_as_long_as_the_run(run: RunDirectory, curve: bool) -> None:
    first = listen(run, BusConfig(curve=curve))
    first.close()
    before = run.keys.stat()
    second = listen(run, BusConfig(curve=curve))
    second.close()
    assert keys_of(first) == keys_of(second)
    assert run.keys.stat().st_mtime_ns == before.st_mtime_ns, "nothing new, nothing written"
    assert bool(second.connection.client_secret_key) is curve


def test_another_run_has_other_keys(tmp_path: Path, stack: ExitStack) -> None:
    one, other = (stack.enter_context(closing(listen(RunDirectory(tmp_path / name)))) for name in make(tmp_path, "a", "b"))
    assert not {*keys_of(one)} & {*keys_of(other)}


def make(folder: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (folder / name).mkdir()
    return names


def test_a_port_that_is_taken_by_now_is_replaced_with_a_warning(
    run: RunDirectory, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "PORT_WAIT_SECONDS", 0.2)
    first = listen(run)
    first.close()
    port = int(first.endpoint.rpartition(":")[2])
    thief = stack.enter_context(socket.socket())
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    thief.bind(("127.0.0.1", port))
    thief.listen()
    with capture_logs() as logs:
        second = stack.enter_context(closing(listen(run)))
    assert [entry["port"] for entry in logs if entry["event"] == "port_lost"] == [port]
    assert second.endpoint != first.endpoint
    assert keys_of(second)[1:] == keys_of(first)[1:]
    assert json.loads(run.keys.read_text())["port"] == int(second.endpoint.rpartition(":")[2])


def test_a_port_of_the_users_own_is_not_replaced(run: RunDirectory, stack: ExitStack) -> None:
    taken = stack.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    with pytest.raises(ChannelError, match="the port is in use"):
        listen(run, BusConfig(bind=f"tcp://127.0.0.1:{taken.getsockname()[1]}"))


def test_another_address_in_the_topology_forgets_the_port(run: RunDirectory) -> None:
    listen(run).close()
    moved = listen(run, BusConfig(bind="tcp://0.0.0.0:0"))
    moved.close()
    assert json.loads(run.keys.read_text())["bind"] == "tcp://0.0.0.0:0"


def test_a_local_socket_keeps_its_keys_too(run: RunDirectory) -> None:
    bus = BusConfig(bind=f"ipc://{run.root}/bus")
    first = listen(run, bus)
    first.close()
    second = listen(run, bus)
    second.close()
    assert keys_of(first) == keys_of(second)


def test_deleting_the_key_file_revokes_every_copy(run: RunDirectory) -> None:
    first = listen(run)
    first.close()
    run.keys.unlink()
    second = listen(run)
    second.close()
    assert not {*keys_of(first)[1:]} & {*keys_of(second)[1:]}
