"""The controller's socket against raw peers."""

import random
import socket as posix
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from protocol.codec import MAX_CONTROL_FRAME_BYTES, encode
from protocol.errors import ChannelError, ProtocolError
from protocol.messages import Done, Heartbeat, Register, Reject, StatusRequest, StopRequest
from protocol.router import MAX_BATCH, MAX_DROP_REASONS
from protocol.sockets import reachable_endpoint

Open = Callable[..., Any]


@pytest.fixture
def raw_peer() -> Iterator[Callable[[str], Any]]:
    """Return a function that connects a plain DEALER."""
    context: zmq.Context[Any] = zmq.Context()

    def connect(endpoint: str) -> Any:
        peer = context.socket(zmq.DEALER)
        peer.connect(endpoint)
        return peer

    yield connect
    context.destroy(linger=0)


def test_malformed_frames_are_counted_with_their_reasons_and_never_raise(open_controller: Open, raw_peer: Open) -> None:
    controller = open_controller(curve=False)
    peer = raw_peer(controller.info.endpoint)
    bad = [[b""], [b"\xc1"], [b"a", b"b"], [b"", encode(StatusRequest())], [encode(Reject(reason="wrong way"))], [b"\x91" * 5000]]
    for parts in bad:
        peer.send_multipart(parts)
    peer.send(encode(StatusRequest()))
    controller.until(lambda: controller.seen == [StatusRequest()])
    assert controller.socket.frames_dropped == len(bad)
    assert len(controller.socket.drop_reasons) == len(bad)
    assert any("Reject" in reason for reason in controller.socket.drop_reasons)


def test_the_log_of_reasons_is_bounded_and_a_flood_comes_in_batches(open_controller: Open, raw_peer: Open) -> None:
    controller = open_controller(curve=False)
    peer = raw_peer(controller.info.endpoint)
    num_frames = 2 * MAX_BATCH + 10
    for _ in range(num_frames):
        peer.send(b"junk")
    controller.until(lambda: controller.socket.frames_dropped == num_frames)
    assert len(controller.socket.drop_reasons) == MAX_DROP_REASONS
    for _ in range(2 * MAX_BATCH):
        peer.send(encode(StatusRequest()))
    sizes: list[int] = []
    while sum(sizes) < 2 * MAX_BATCH:
        sizes.append(len(controller.socket.poll(10.0)))
        assert sizes[-1], "nothing came for ten seconds"
    assert max(sizes) <= MAX_BATCH


def test_a_frame_over_the_limit_does_not_arrive_and_others_still_do(open_controller: Open, raw_peer: Open) -> None:
    controller = open_controller(curve=False)
    big, good = raw_peer(controller.info.endpoint), raw_peer(controller.info.endpoint)
    big.send(b"\0" * (MAX_CONTROL_FRAME_BYTES + 1))
    good.send(encode(StatusRequest()))
    controller.until(lambda: controller.seen == [StatusRequest()])
    assert controller.socket.frames_dropped == 0


def test_an_answer_goes_to_the_peer_that_asked(open_controller: Open, raw_peer: Open) -> None:
    controller = open_controller(curve=False)
    peers = [raw_peer(controller.info.endpoint) for _ in range(2)]
    for index, peer in enumerate(peers):
        peer.send(encode(StopRequest(reason=str(index))))
    asked: dict[str, bytes] = {}
    while len(asked) < 2:
        asked |= {message.reason: peer_id for peer_id, message in controller.socket.poll(10.0)}
    assert controller.socket.send(asked["1"], Done())
    assert peers[1].poll(30_000)
    assert peers[1].recv() == encode(Done())
    assert not peers[0].poll(0)


def test_sending_to_a_peer_that_is_gone_is_harmless(open_controller: Open, raw_peer: Open) -> None:
    controller = open_controller(curve=False)
    peer = raw_peer(controller.info.endpoint)
    peer.send(encode(StatusRequest()))
    messages: list[Any] = []
    while not messages:
        messages = controller.socket.poll(10.0)
    peer.close(linger=0)
    controller.until(lambda: not controller.socket.send(messages[0][0], Done()))
    assert not controller.socket.send(b"never seen", Done())
    assert controller.socket.sends_dropped == 2
    with pytest.raises(ProtocolError, match="cannot send Reject"):
        controller.socket.send(b"never seen", Reject(reason=None))  # type: ignore[arg-type]


def test_a_peer_that_does_not_read_does_not_hold_up_the_controller(open_controller: Open, raw_peer: Open) -> None:
    controller = open_controller(curve=False)
    peer = raw_peer(controller.info.endpoint)
    peer.send(encode(StatusRequest()))
    peer_id = controller.socket.poll(10.0)[0][0]
    answer = Reject(reason="x" * 20_000)
    assert not all(controller.socket.send(peer_id, answer) for _ in range(20_000))


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_an_endpoint_in_use_is_a_clear_error(open_controller: Open, tmp_path: Path, transport: str) -> None:
    first = open_controller("tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{tmp_path}/bus", curve=False)
    endpoint = first.info.endpoint
    with pytest.raises(ChannelError, match=f"cannot listen on {endpoint}: .*bus.bind"):
        open_controller(endpoint)


def test_the_path_of_a_dead_ipc_listener_is_taken_over(open_controller: Open, open_channel: Open, tmp_path: Path) -> None:
    (tmp_path / "bus").touch()
    controller = open_controller(f"ipc://{tmp_path}/bus")
    open_channel(controller.info)
    controller.until(lambda: bool(controller.seen))


@pytest.mark.parametrize(
    "endpoint", ["tcp://192.0.2.1:0", "http://localhost:80", "tcp://127.0.0.1:99999", "nonsense", "", f"ipc:///{'x' * 200}"]
)
def test_an_impossible_endpoint_is_a_clear_error(open_controller: Open, endpoint: str) -> None:
    with pytest.raises(ChannelError, match="cannot listen on"):
        open_controller(endpoint)


def test_a_wildcard_address_is_published_under_the_host_name() -> None:
    assert reachable_endpoint("tcp://0.0.0.0:5555", "gpu-7") == "tcp://gpu-7:5555"
    assert reachable_endpoint("tcp://[::]:5555", "gpu-7") == "tcp://gpu-7:5555"
    assert reachable_endpoint("tcp://10.0.0.1:5555", "gpu-7") == "tcp://10.0.0.1:5555"
    assert reachable_endpoint("ipc:///tmp/x", "gpu-7") == "ipc:///tmp/x"


@pytest.mark.parametrize("curve", [True, False])
def test_a_stranger_on_the_port_that_speaks_no_zeromq_does_no_harm(open_controller: Open, open_channel: Open, curve: bool) -> None:
    controller = open_controller(curve=curve)
    host, port = controller.info.endpoint.removeprefix("tcp://").split(":")
    rng = random.Random(0)
    for size in (1, 64, 5000):
        with posix.create_connection((host, int(port)), timeout=10.0) as stranger:
            stranger.sendall(rng.randbytes(size))
    with posix.create_connection((host, int(port)), timeout=10.0) as half_open:
        half_open.sendall(b"\xff\0\0\0\0\0\0\0\1\x7f\3")
        open_channel(controller.info)
        controller.until(lambda: bool(controller.seen))
    # Without CURVE libzmq takes some byte salads for peers of its oldest dialect: then their frames are dropped by us.
    assert all(isinstance(message, Register | Heartbeat) for message in controller.seen)
    assert not curve or controller.socket.frames_dropped == 0
