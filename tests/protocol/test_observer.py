"""Questions of the command line to a controller that answers, is silent, or is not there."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from protocol.errors import ChannelError, ChannelTimeout, ProtocolError
from protocol.messages import Done, Pulse, Reject, StatusRequest, StopRequest, ToAgent, ToObserver
from protocol.observer import ObserverClient
from protocol.router import ControllerSocket

Open = Callable[..., Any]


def answering(socket: ControllerSocket, *answers: ToObserver | ToAgent) -> threading.Thread:
    """Answer the next requests, one answer each, in a thread."""

    def serve() -> None:
        waiting = list(answers)
        while waiting:
            for peer, _ in socket.poll(10.0):
                socket.send(peer, waiting.pop(0))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("curve", [True, False])
def test_requests_are_answered_in_turn(open_controller: Open, curve: bool) -> None:
    socket = open_controller(curve=curve).socket
    thread = answering(socket, Reject(reason="no such agent"), Done())
    with ObserverClient(socket.connection) as observer:
        assert observer.request(StatusRequest(), 30.0) == Reject(reason="no such agent")
        assert observer.request(StopRequest(reason="r"), 30.0) == Done()
    thread.join(10.0)


def test_no_answer_in_time_is_a_clear_error(open_controller: Open) -> None:
    controller = open_controller()
    with ObserverClient(controller.info) as observer, pytest.raises(ChannelTimeout, match=r"run run-1 \(pid \d+ on .*within 0.05 s"):
        observer.request(StatusRequest(), 0.05)


def test_no_controller_at_all_is_a_clear_error(open_controller: Open) -> None:
    controller = open_controller()
    controller.socket.close()
    with ObserverClient(controller.info) as observer, pytest.raises(ChannelTimeout, match="is it running"):
        observer.request(StatusRequest(), 0.05)


def test_a_late_answer_is_not_taken_for_the_next(open_controller: Open) -> None:
    socket = open_controller().socket
    with ObserverClient(socket.connection) as observer:
        with pytest.raises(ChannelTimeout):
            observer.request(StatusRequest(), 0.05)
        thread = answering(socket, Reject(reason="late or second"), Done())
        # The first request may or may not have got through before its socket was closed.
        reply = observer.request(StopRequest(reason="r"), 30.0)
        assert reply in (Done(), Reject(reason="late or second"))
        if reply == Reject(reason="late or second"):
            assert observer.request(StopRequest(reason="r"), 30.0) == Done()
    thread.join(10.0)


def test_an_answer_that_is_none_is_refused(open_controller: Open) -> None:
    socket = open_controller().socket
    thread = answering(socket, Pulse(registered=True))
    with ObserverClient(socket.connection) as observer, pytest.raises(ProtocolError, match="Pulse"):
        observer.request(StatusRequest(), 30.0)
    thread.join(10.0)


def test_malformed_connection_details_are_a_clear_error(open_controller: Open) -> None:
    info = open_controller(curve=False).info
    with pytest.raises(ChannelError, match="expected an endpoint"):
        ObserverClient(dataclasses.replace(info, endpoint="localhost:1"))
