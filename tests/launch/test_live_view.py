import io
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from launch.live_view import LiveView

sys.path.insert(0, str(Path(__file__).parent))
from dummy_controller import status


def terminal() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=True, width=90, height=40), text


def test_a_pipe_gets_a_line_now_and_then() -> None:
    text, seconds = io.StringIO(), [0.0]
    with LiveView(Console(file=text, width=200), live=True, hints=("follow logs: here",), clock=lambda: seconds[0]) as view:
        view.update(None)
        for second in (1.0, 6.0, 7.0, 12.0):
            seconds[0] = second
            view.update(status("running", second))
    lines = text.getvalue().splitlines()
    assert lines[0] == "follow logs: here"
    assert lines[1] == "waiting for the controller"
    assert [line[:6] for line in lines[2:]] == ["[6s] r", "[12s] ", "[12s] "]


def test_a_problem_is_told_at_once_and_once() -> None:
    text = io.StringIO()
    with LiveView(Console(file=text, width=200), live=False, hints=(), clock=lambda: 0.0) as view:
        for _ in range(3):
            view.update(status("running", 1.0), ["trainer-0 died"])
    assert text.getvalue().count("! trainer-0 died") == 1


def test_a_problem_of_the_run_is_told_once_however_its_count_grows() -> None:
    text, seconds = io.StringIO(), [0.0]
    with LiveView(Console(file=text, width=200), live=False, hints=(), clock=lambda: seconds[0]) as view:
        for count in (1, 2, 3):
            seconds[0] += 10.0
            view.update(replace(status("running", seconds[0]), problems=(f"{count} prompt(s) were cut",)))
    assert text.getvalue().count("! 1 prompt(s) were cut") == 1
    assert "2 prompt(s)" not in text.getvalue()


def test_a_terminal_gets_the_picture_and_keeps_the_last_one() -> None:
    console, text = terminal()
    with LiveView(console, live=True, hints=("follow logs: here",)) as view:
        view.update(None)
        view.update(status("running", 3.0), ["trainer-0 died"])
        assert "trainer-0 died" in text.getvalue()
        view.update(status("done", 4.0))
    last = text.getvalue().rpartition("seal-runtime · dummy")[2]
    assert "done" in last
    assert "follow logs" not in last


def test_a_controller_that_is_away_leaves_the_last_picture() -> None:
    console, text = terminal()
    with LiveView(console, live=True, hints=()) as view:
        view.update(status("running", 3.0))
        text.truncate(0)
        view.update(None)
        assert "round 1 of 2" in text.getvalue()
        assert "waiting for the controller" in text.getvalue()


def test_no_live_means_lines_in_a_terminal_too() -> None:
    console, text = terminal()
    with LiveView(console, live=False, hints=()) as view:
        view.update(replace(status("running", 3.0), eta_seconds=9.0))
    assert "╭" not in text.getvalue()
    assert "about 9s left" in text.getvalue()
