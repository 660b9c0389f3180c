"""A TCP proxy between the agents and the controller: each agent has a door of its own, which can be cut, shut, slowed or held.

The agents read connection files that name their doors; the real file is read again and again, so a controller that comes back with
another port or other keys is followed. The bytes are CURVE's: the proxy sees ciphertext only, as an attacker on the network would.
"""

import asyncio
import contextlib
import dataclasses
import socket as posix
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.errors import ChannelError
from protocol.security import ConnectionInfo, read_connection_file, write_connection_file
from seal_runtime.errors import ConfigError, LaunchError

_CHUNK_BYTES = 65_536
_LOOK_SECONDS = 0.05
_DIAL_SECONDS = 5.0
_START_SECONDS = 30.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with time 0: the connection ends in a reset, and what was under way is lost."""


_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@dataclass(slots=True, kw_only=True)
class _Door:
    """One agent's way to the controller. Times are the loop's clock."""

    agent: str
    connection: Path
    port: int = 0
    transports: set[asyncio.WriteTransport] = field(default_factory=set)
    shut_until: float = 0.0
    held_until: float = 0.0
    slow_until: float = 0.0
    latency_seconds: float = 0.0


class BusProxy:
    """Runs in a thread of its own inside the `with` block. `folder` gets one connection file an agent; `upstream` is the real one."""

    def __init__(self, agents: Sequence[str], *, upstream: Path, folder: Path) -> None:
        self.num_connections = 0
        self._upstream_file = upstream
        self._upstream: tuple[str, int] | None = None
        self._seen: ConnectionInfo | None = None
        self._doors = {agent: _Door(agent=agent, connection=folder / f"{agent}.json") for agent in agents}
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._is_up = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="chaos-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        if not self._is_up.wait(_START_SECONDS) or self._failure is not None:
            raise LaunchError(f"the chaos proxy could not start: {self._failure or 'timed out'}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_START_SECONDS)

    def connection(self, agent: str) -> Path:
        """Return the connection file that the agent is given; it exists while the real one does."""
        return self._doors[agent].connection

    def cut(self, agents: Iterable[str], shut_seconds: float = 0.0) -> None:
        """Reset the agents' connections in the middle of whatever they carry, and let none be made for so long."""
        self._loop.call_soon_threadsafe(self._cut, list(agents), shut_seconds)

    def hold(self, agents: Iterable[str], seconds: float) -> None:
        """Let no byte through for so long; then all of them arrive at once."""
        self._loop.call_soon_threadsafe(self._hold, list(agents), seconds)

    def slow(self, agents: Iterable[str], seconds: float, latency_seconds: float) -> None:
        """Delay each piece of data by the latency for so long."""
        self._loop.call_soon_threadsafe(self._slow, list(agents), seconds, latency_seconds)

    def _cut(self, agents: list[str], shut_seconds: float) -> None:
        for door in map(self._doors.__getitem__, agents):
            door.shut_until = max(door.shut_until, self._loop.time() + shut_seconds)
            for transport in list(door.transports):
                _reset(transport)

    def _hold(self, agents: list[str], seconds: float) -> None:
        for door in map(self._doors.__getitem__, agents):
            door.held_until = max(door.held_until, self._loop.time() + seconds)

    def _slow(self, agents: list[str], seconds: float, latency_seconds: float) -> None:
        for door in map(self._doors.__getitem__, agents):
            door.slow_until, door.latency_seconds = self._loop.time() + seconds, latency_seconds

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve_all())
        except Exception as error:  # becomes the failure that __enter__ raises
            self._failure = error
        finally:
            self._is_up.set()
            self._loop.close()

    async def _serve_all(self) -> None:
        servers = []
        for door in self._doors.values():
            server = await asyncio.start_server(self._handler(door), "127.0.0.1", 0)
            door.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        self._look()
        self._is_up.set()
        while not self._end.is_set():
            self._look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), _LOOK_SECONDS)
        for server in servers:
            server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _handler(self, door: _Door) -> _Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await self._relay(door, reader, writer)
            writer.close()

        return handle

    async def _relay(self, door: _Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._upstream is None or self._loop.time() < door.shut_until:
            _reset(writer.transport)
            return
        upstream = asyncio.open_connection(*self._upstream)
        up_reader, up_writer = await asyncio.wait_for(upstream, _DIAL_SECONDS)
        self.num_connections += 1
        both = {writer.transport, up_writer.transport}
        door.transports |= both
        try:
            await asyncio.gather(self._pump(door, reader, up_writer), self._pump(door, up_reader, writer))
        finally:
            door.transports -= both
            up_writer.close()

    async def _pump(self, door: _Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            while (held := door.held_until - self._loop.time()) > 0:
                await asyncio.sleep(held)
            if self._loop.time() < door.slow_until:
                await asyncio.sleep(door.latency_seconds)
            writer.write(data)
            await writer.drain()
        writer.close()

    def _look(self) -> None:
        """Follow the real connection file: tell the agents about a controller that moved, and take their files away with it."""
        try:
            info: ConnectionInfo | None = read_connection_file(self._upstream_file)
        except ChannelError:
            info = None
        if info == self._seen:
            return
        self._upstream = None if info is None else host_and_port(info.endpoint)
        with contextlib.suppress(ChannelError):  # the disk may be full on purpose; the next look tries again
            for door in self._doors.values():
                if info is None:
                    door.connection.unlink(missing_ok=True)
                else:
                    write_connection_file(dataclasses.replace(info, endpoint=f"tcp://127.0.0.1:{door.port}"), door.connection)
            self._seen = info


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Return where a TCP endpoint is. Raises ConfigError for any other transport."""
    scheme, _, place = endpoint.partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal():
        raise ConfigError(f"expected a TCP endpoint such as tcp://127.0.0.1:5555 to put the proxy before, got {endpoint!r}; set bus.bind")
    return host.strip("[]"), int(port)


def _reset(transport: asyncio.WriteTransport) -> None:
    socket: posix.socket | None = transport.get_extra_info("socket")
    if socket is not None:
        with contextlib.suppress(OSError):
            socket.setsockopt(posix.SOL_SOCKET, posix.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
