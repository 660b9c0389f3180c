"""A controller to talk to, over real sockets."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from protocol.channel import AgentChannel
from protocol.messages import Heartbeat, Pulse, Register, ToAgent, ToController, Welcome
from protocol.router import ControllerSocket
from protocol.security import ConnectionInfo

DEADLINE_SECONDS = 30.0


class ScriptedController:
    """Registers whoever asks, answers heartbeats, keeps all other messages for the test to look at."""

    def __init__(self, endpoint: str, curve: bool, run_id: str = "run-1", heartbeat_seconds: float = 0.05) -> None:
        self.socket = ControllerSocket.bind(endpoint, run_id=run_id, curve=curve)
        self.seen: list[ToController] = []
        self.peers: list[bytes] = []
        self.knows_nobody = False
        self._heartbeat_seconds = heartbeat_seconds

    @property
    def info(self) -> ConnectionInfo:
        return self.socket.connection

    def all_of(self, kind: type) -> list[ToController]:
        return [message for message in self.seen if isinstance(message, kind)]

    def until(self, condition: Callable[[], bool]) -> None:
        """Serve until the condition holds. The deadline only bounds a failing test."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"gave up; seen: {self.seen[-5:]}"
            self.serve(0.02)

    def serve(self, timeout_seconds: float) -> None:
        for peer, message in self.socket.poll(timeout_seconds):
            self.seen.append(message)
            answer = self._answer(peer, message)
            if answer is not None:
                self.socket.send(peer, answer)

    def send(self, message: ToAgent) -> None:
        self.socket.send(self.peers[-1], message)

    def _answer(self, peer: bytes, message: ToController) -> ToAgent | None:
        if isinstance(message, Heartbeat):
            return Pulse(registered=not self.knows_nobody)
        if not isinstance(message, Register):
            return None
        self.knows_nobody = False
        self.peers.append(peer)
        return Welcome(
            agent=message.agent or "trainer-0",
            run_id=self.info.run_id,
            topology_json="{}",
            store_dir="/store",
            store_nonce="n",
            heartbeat_seconds=self._heartbeat_seconds,
        )


@pytest.fixture
def open_controller() -> Iterator[Callable[..., ScriptedController]]:
    """Return a function that starts a scripted controller; all are closed at the end."""
    opened: list[ScriptedController] = []

    def open_one(endpoint: str = "tcp://127.0.0.1:0", curve: bool = True, **options: object) -> ScriptedController:
        opened.append(ScriptedController(endpoint, curve, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for controller in opened:
        controller.socket.close()


@pytest.fixture
def open_channel() -> Iterator[Callable[..., AgentChannel]]:
    """Return a function that connects an agent; all are closed at the end."""
    opened: list[AgentChannel] = []

    def open_one(info: ConnectionInfo, **options: object) -> AgentChannel:
        arguments = {"role": "trainer", "agent": "", "capacity": 2, "gpus": (), "package_version": "0", **options}
        opened.append(AgentChannel.connect(info, **arguments))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for channel in opened:
        channel.close("end of the test", timeout_seconds=0.0)


@pytest.fixture
def adapter_dir(tmp_path: Path) -> Path:
    """Return a folder with the two files of an adapter, 3 bytes and 10,000 bytes."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_bytes(b"{ }")
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(250)) * 40)
    return folder
