"""An agent's channel whose controller is away, or does not acknowledge: bounded in memory, and it says so."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol import bus_thread
from protocol import channel as channel_module
from protocol.errors import ChannelTimeout
from protocol.messages import JobAck, JobFailed, Ready, Welcome

Open = Callable[..., Any]
LIMIT = 8


def test_what_is_not_acknowledged_stops_the_sender_and_is_all_delivered_later(
    open_controller: Open, open_channel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_thread, "MAX_WAITING_MESSAGES", LIMIT)
    monkeypatch.setattr(channel_module, "_SEND_TIMEOUT_SECONDS", 0.5)
    controller = open_controller(curve=False)
    channel = open_channel(controller.info)
    channel.send(Ready(capacity=1))
    controller.until(lambda: bool(controller.all_of(Ready)))
    assert isinstance(channel.receive(30.0), Welcome)
    failed = [JobFailed(job_id=f"j{index}", attempt=1, error_type="E", reason="r", retryable=True) for index in range(2 * LIMIT + 1)]
    for message in failed[:-1]:
        channel.send(message)
    with pytest.raises(ChannelTimeout, match="messages wait for the controller"):
        channel.send(failed[-1])
    assert channel.num_owed == 2 * LIMIT

    def acknowledge_all() -> bool:
        for message in controller.all_of(JobFailed):
            controller.send(JobAck(job_id=message.job_id, attempt=1))
        while channel.receive(0.0) is not None:
            pass
        return channel.num_owed == 0

    controller.until(acknowledge_all)
    assert {message.job_id for message in controller.all_of(JobFailed)} == {message.job_id for message in failed[:-1]}
