"""The proxy over real sockets: bytes pass both ways; cut, shut, held and slow do what they say; a controller that moves is followed."""

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.security import ConnectionInfo, read_connection_file, write_connection_file
from seal_runtime.chaos.proxy import BusProxy, host_and_port
from seal_runtime.errors import ConfigError

DEADLINE_SECONDS = 20.0


class EchoServer:
    """Sends back what it gets, with its own mark in front."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                connection.sendall(self.mark + data)


def info(port: int) -> ConnectionInfo:
    return ConnectionInfo(
        run_id="run",
        endpoint=f"tcp://127.0.0.1:{port}",
        server_public_key="",
        client_public_key="",
        client_secret_key="",
        controller_pid=1,
        hostname="here",
        started_at=0.0,
    )


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.01)


def dial(proxy: BusProxy, agent: str) -> socket.socket:
    _, port = host_and_port(read_connection_file(proxy.connection(agent)).endpoint)
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
    connection.settimeout(DEADLINE_SECONDS)
    return connection


def ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(65_536)


def is_cut(connection: socket.socket) -> bool:
    try:
        return connection.recv(65_536) == b""
    except OSError:
        return True


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer(b"a:")
    yield echo
    echo.listener.close()


@pytest.fixture
def proxy(server: EchoServer, tmp_path: Path) -> Iterator[BusProxy]:
    write_connection_file(info(server.port), tmp_path / "real.json")
    with BusProxy(("one", "two"), upstream=tmp_path / "real.json", folder=tmp_path / "doors") as running:
        yield running


def test_bytes_pass_both_ways_through_a_door_of_ones_own(proxy: BusProxy) -> None:
    with dial(proxy, "one") as one, dial(proxy, "two") as two:
        assert one.getpeername() != two.getpeername()
        assert ask(one, b"x") == b"a:x"
        assert ask(two, b"y") == b"a:y"
    assert proxy.connection("one").stat().st_mode & 0o777 == 0o600


def test_a_cut_hits_the_named_agent_only_and_it_may_come_back(proxy: BusProxy) -> None:
    with dial(proxy, "one") as one, dial(proxy, "two") as two:
        assert (ask(one, b"x"), ask(two, b"y")) == (b"a:x", b"a:y")
        proxy.cut(["one"])
        assert is_cut(one)
        assert ask(two, b"z") == b"a:z"
    with dial(proxy, "one") as again:
        assert ask(again, b"x") == b"a:x"


def test_a_shut_door_lets_nobody_in_until_its_time_is_over(proxy: BusProxy) -> None:
    started = time.monotonic()
    proxy.cut(["one"], shut_seconds=0.5)

    def answers() -> bool:
        with contextlib.suppress(OSError), dial(proxy, "one") as connection:
            return ask(connection, b"x") == b"a:x"
        return False

    until(answers, "the door opens")
    assert time.monotonic() - started >= 0.5


def test_what_is_held_arrives_later_and_whole(proxy: BusProxy) -> None:
    with dial(proxy, "one") as one:
        assert ask(one, b"x") == b"a:x"
        started = time.monotonic()
        proxy.hold(["one"], 0.5)
        assert ask(one, b"y") == b"a:y"
        assert time.monotonic() - started >= 0.5


def test_a_slow_door_delays_each_piece(proxy: BusProxy) -> None:
    with dial(proxy, "one") as one:
        proxy.slow(["one"], 60.0, 0.2)
        started = time.monotonic()
        assert ask(one, b"y") == b"a:y"
        assert time.monotonic() - started >= 0.35


def test_a_controller_that_moves_is_followed_and_one_that_leaves_takes_the_files_with_it(proxy: BusProxy, tmp_path: Path) -> None:
    other = EchoServer(b"b:")
    moved = dataclasses.replace(info(other.port), controller_pid=2, server_public_key="key")
    write_connection_file(moved, tmp_path / "real.json")
    until(lambda: read_connection_file(proxy.connection("one")).controller_pid == 2, "the doors' files follow")
    assert read_connection_file(proxy.connection("one")).server_public_key == "key"
    with dial(proxy, "one") as one:
        assert ask(one, b"x") == b"b:x"
    (tmp_path / "real.json").unlink()
    until(lambda: not proxy.connection("one").exists() and not proxy.connection("two").exists(), "the files are gone")
    other.listener.close()


def test_only_tcp_can_be_proxied() -> None:
    assert host_and_port("tcp://[::1]:99") == ("::1", 99)
    with pytest.raises(ConfigError, match="expected a TCP endpoint"):
        host_and_port("ipc:///tmp/socket")
