"""The bus thread's question about the main thread: asked whatever the connection is like, answered to a controller that listens."""

import time
from collections.abc import Callable
from typing import Any

from protocol.messages import Heartbeat, Reject, StackReport, Welcome

Open = Callable[..., Any]
REPORT = StackReport(step_age_seconds=1.5, stack=("a.py:1 f", "b.py:2 g"))


class Asked:
    """A sentinel that keeps what it was asked, and reports each time."""

    def __init__(self) -> None:
        self.questions: list[tuple[Heartbeat, bool, bool]] = []

    def __call__(self, beat: Heartbeat, *, listening: bool, refused: bool) -> StackReport | None:
        self.questions.append((beat, listening, refused))
        return REPORT if listening else None

    def wait(self, condition: Callable[[Heartbeat, bool, bool], bool]) -> None:
        deadline = time.monotonic() + 30.0
        while not any(condition(*question) for question in list(self.questions)):
            assert time.monotonic() < deadline, self.questions[-3:]
            time.sleep(0.01)


def joined(controller: Any, channel: Any) -> None:
    found: list[Any] = []
    controller.until(lambda: isinstance((found or [channel.receive(0.0)])[-1], Welcome))


def test_a_report_reaches_the_controller(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    channel.set_state("busy", ("j",))
    asked = Asked()
    channel.watch(asked)
    controller.until(lambda: len(controller.all_of(StackReport)) > 1)
    assert set(controller.all_of(StackReport)) == {REPORT}
    beat, listening, refused = asked.questions[-1]
    assert (beat.state, beat.job_ids, listening, refused) == ("busy", ("j",), True, False)


def test_it_is_asked_on_when_nobody_is_there(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    asked = Asked()
    channel.watch(asked)
    asked.wait(lambda beat, listening, refused: not listening and not refused)
    joined(controller, channel)
    asked.wait(lambda beat, listening, refused: listening)
    controller.socket.close()
    asked.questions.clear()
    asked.wait(lambda beat, listening, refused: not listening and beat.step_age_seconds > 0)


def test_a_refused_agent_is_still_watched_until_its_main_thread_closes_the_channel(open_controller: Open, open_channel: Open) -> None:
    controller = open_controller()
    channel = open_channel(controller.info)
    joined(controller, channel)
    asked = Asked()
    channel.watch(asked)
    controller.send(Reject(reason="given up"))
    asked.wait(lambda beat, listening, refused: refused and not listening)
    asked.questions.clear()
    asked.wait(lambda beat, listening, refused: refused)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.4, "it waits, it does not spin"
    assert isinstance(channel.receive(1.0), Reject)
    channel.close("bye", timeout_seconds=0.0)
