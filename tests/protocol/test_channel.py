"""An agent's channel against a real ROUTER."""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ChannelError, ProtocolError
from protocol.messages import Cancel, Drain, Goodbye, Heartbeat, JobAck, JobFailed, Ready, Register, Reject, ToAgent, Welcome
from protocol.security import new_client_keys

Open = Callable[..., Any]
CANCEL = Cancel(job_id="j", attempt=1)


def failed(job_id: str = "j") -> JobFailed:
    return JobFailed(job_id=job_id, attempt=1, error_type="E", reason="r", retryable=True)


def next_message(controller: Any, channel: Any) -> ToAgent:
    """Serve until the agent received something."""
    received: list[ToAgent] = []

    def arrived() -> bool:
        message = channel.receive(0.0)
        received.extend([] if message is None else [message])
        return bool(received)

    controller.until(arrived)
    return received[0]


def joined(controller: Any, channel: Any) -> None:
    """Serve until the channel is registered and its Welcome was taken."""
    assert isinstance(next_message(controller, channel), Welcome)


@pytest.mark.parametrize("curve", [True, False])
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_an_agent_registers_talks_and_says_goodbye(
    open_controller: Open, open_channel: Open, tmp_path: Path, curve: bool, transport: str
) -> None:
    controller = open_controller("tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{tmp_path}/bus", curve=curve)
    channel = open_channel(controller.info, agent="mine", gpus=(0, 1))
    joined(controller, channel)
    register = controller.all_of(Register)[0]
    assert (register.role, register.agent, register.capacity, register.gpus) == ("trainer", "mine", 2, (0, 1))
    channel.send(Ready(capacity=2))
    controller.until(lambda: controller.all_of(Ready) == [Ready(capacity=2)])
    controller.send(CANCEL)
    assert channel.receive(30.0) == CANCEL
    assert channel.receive(0.0) is None
    assert channel.problem == ""
    assert channel.close("done")
    controller.until(lambda: controller.seen[-1] == Goodbye(reason="done"))
    assert controller.socket.frames_dropped == 0
    with pytest.raises(ChannelError, match="closed"):
        channel.send(Ready(capacity=1))


def test_heartbeats_flow_while_the_main_thread_is_in_a_long_c_call(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    channel.set_state("busy", ("j1", "j2"))
    channel.touch(gpu_memory_bytes=7)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 500_000)
    channel.touch(gpu_memory_bytes=8)
    controller.until(lambda: any(beat.gpu_memory_bytes == 8 for beat in controller.all_of(Heartbeat)))
    during = [beat for beat in controller.all_of(Heartbeat) if beat.gpu_memory_bytes == 7]
    assert max(beat.step_age_seconds for beat in during) > 0.2, "beats went out while the main thread was away"
    assert {(beat.state, beat.job_ids) for beat in during} == {("busy", ("j1", "j2"))}


def test_a_result_is_sent_until_acknowledged(open_controller: Open, open_channel: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.link.RESEND_SECONDS", 0.05)
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    channel.send(failed())
    controller.until(lambda: len(controller.all_of(JobFailed)) >= 3)
    assert channel.num_owed == 1
    controller.send(JobAck(job_id="j", attempt=1))
    controller.until(lambda: channel.num_owed == 0)
    assert channel.receive(30.0) == JobAck(job_id="j", attempt=1)


def test_the_agent_registers_again_after_the_controller_was_away(open_controller: Open, open_channel: Open) -> None:
    first = open_controller(curve=False)
    channel = open_channel(first.info)
    joined(first, channel)
    channel.send(Ready(capacity=2))
    first.until(lambda: bool(first.all_of(Ready)))
    first.socket.close()
    channel.send(failed("done while away"))
    second = open_controller(first.info.endpoint, curve=False)
    second.until(lambda: bool(second.all_of(JobFailed)))
    again = second.all_of(Register)[0]
    assert (again.agent, again.incarnation) == ("trainer-0", first.all_of(Register)[0].incarnation)
    order = [type(message) for message in second.seen if not isinstance(message, Heartbeat)]
    assert order.index(Register) < order.index(Ready) < order.index(JobFailed)
    second.send(JobAck(job_id="done while away", attempt=1))
    assert channel.receive(30.0) == JobAck(job_id="done while away", attempt=1), "and not a second Welcome"


def test_a_controller_that_forgot_the_agent_gets_a_new_registration(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    before = len(controller.all_of(Register))
    controller.knows_nobody = True
    controller.until(lambda: len(controller.all_of(Register)) > before)


def test_the_channel_follows_the_controller_to_another_endpoint_and_key(open_controller: Open, open_channel: Open) -> None:
    now_at: list[Any] = []
    first = open_controller()
    channel = open_channel(first.info, controller_timeout_seconds=0.3, refresh=lambda: now_at[-1] if now_at else None)
    joined(first, channel)
    first.socket.close()
    second = open_controller()
    assert second.info.server_public_key != first.info.server_public_key
    now_at.append(second.info)
    second.until(lambda: bool(second.all_of(Register)))
    second.until(lambda: bool(second.all_of(Heartbeat)))
    second.send(CANCEL)
    assert channel.receive(30.0) == CANCEL


def test_another_run_at_the_endpoint_rejects_the_agent(open_controller: Open, open_channel: Open) -> None:
    first = open_controller(curve=False)
    channel = open_channel(first.info)
    joined(first, channel)
    first.socket.close()
    second = open_controller(first.info.endpoint, curve=False, run_id="run-2")
    answer = next_message(second, channel)
    assert isinstance(answer, Reject)
    assert "run-2" in answer.reason


def test_close_waits_for_acknowledgements_and_then_says_goodbye(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    channel.send(failed())
    assert not channel.close("impatient", timeout_seconds=0.1)
    controller.until(lambda: bool(controller.all_of(Goodbye)))
    assert isinstance(controller.seen[-1], Goodbye)
    assert isinstance(next(message for message in controller.seen if isinstance(message, JobFailed)), JobFailed)


def test_closing_without_a_controller_ends_at_once(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    info = controller.info
    controller.socket.close()
    channel = open_channel(info)
    assert channel.receive(0.05) is None
    assert channel.close("nobody there", timeout_seconds=20.0)
    assert channel.silence_seconds < 20.0


def test_an_unsendable_message_is_refused_at_once_and_the_channel_lives(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    with pytest.raises(ProtocolError, match="retryable"):
        channel.send(JobFailed(job_id="j", attempt=1, error_type="E", reason="r", retryable="yes"))  # type: ignore[arg-type]
    channel.send(Ready(capacity=1))
    controller.until(lambda: bool(controller.all_of(Ready)))


def test_garbage_from_the_controller_is_counted_and_dropped(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    peer = controller.peers[-1]
    for parts in ([b"garbage"], [b"two", b"parts"], [b""]):
        controller.socket._socket.send_multipart([peer, *parts])
    controller.send(Drain(reason="r"))
    assert channel.receive(30.0) == Drain(reason="r")
    assert channel.frames_dropped == 3


def test_a_malformed_endpoint_is_a_clear_error(open_controller: Open, open_channel: Open) -> None:
    info = open_controller(curve=False).info
    with pytest.raises(ChannelError, match="expected an endpoint"):
        open_channel(dataclasses.replace(info, endpoint="localhost"))
    with pytest.raises(ChannelError, match="malformed CURVE keys"):
        open_channel(dataclasses.replace(info, server_public_key="short"))


def test_a_refused_agent_is_heard_once_its_key_is_right(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    keys = new_client_keys()
    stale = dataclasses.replace(controller.info, client_public_key=keys.public_key, client_secret_key=keys.secret_key)
    channel = open_channel(stale, refresh=lambda: controller.info)
    controller.until(lambda: bool(controller.all_of(Register)))
    assert channel.problem == ""
    assert controller.socket.clients_denied >= 1
