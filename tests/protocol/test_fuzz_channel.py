"""An agent's channel under malformed frames from a controller-side socket: counted, told in the heartbeats, and nothing else."""

from collections.abc import Callable
from typing import Any

import zmq
from hostile_frames import TO_AGENT, TO_CONTROLLER, FrameForge
from structlog.testing import capture_logs

from protocol.codec import encode
from protocol.messages import Cancel, Drain, Heartbeat, JobAck, Pulse, Ready, Register, Welcome

Open = Callable[..., Any]
NUM_FRAMES = 50_000


def test_malformed_frames_change_nothing_at_an_agents_channel(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info, controller_timeout_seconds=600.0)
    channel.send(Ready(capacity=1))
    controller.until(lambda: bool(controller.all_of(Ready)))
    assert isinstance(channel.receive(30.0), Welcome)
    peer, socket = controller.peers[-1], controller.socket._socket
    forge = FrameForge(4, TO_AGENT, TO_CONTROLLER)
    with capture_logs() as logs:
        for _ in range(NUM_FRAMES // 500):
            for parts in forge.frames(500):
                while not socket.poll(60_000, zmq.POLLOUT):
                    raise AssertionError("the channel does not read")
                socket.send_multipart([peer, *parts])
            # Repeated and pointless, but well formed: none of these is the agent's business.
            for message in (Pulse(registered=True), JobAck(job_id="never", attempt=2**62)):
                socket.send_multipart([peer, encode(message)])
            controller.serve(0.0)
        controller.until(lambda: heard_dropped(controller) >= NUM_FRAMES)
    assert channel.frames_dropped == heard_dropped(controller) == NUM_FRAMES
    assert len(logs) <= 100, "a flood of frames is no flood of log lines"
    controller.send(Cancel(job_id="j", attempt=1))
    controller.send(Drain(reason="the last word"))
    received = []
    while received[-1:] != [Drain(reason="the last word")]:
        received.append(channel.receive(30.0))
    assert set(map(type, received)) == {JobAck, Cancel, Drain}
    assert len(controller.all_of(Register)) == len(controller.all_of(Ready)) == 1
    assert channel.num_owed == 0


def heard_dropped(controller: Any) -> int:
    return max((beat.frames_dropped for beat in controller.all_of(Heartbeat)), default=0)
