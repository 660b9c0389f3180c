import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from launch.live_view import LiveView
from launch.local import EXIT_FAILED, EXIT_STOPPED, Grace
from launch.observe import RunObserver
from launch.session import SessionEnd, backend_of, drive
from launch.specs import AgentSpec
from launch.stop_signals import StopSignals
from seal_runtime.errors import LaunchError
from seal_runtime.store.run_directory import RunDirectory

sys.path.insert(0, str(Path(__file__).parent))
from launch_dummies import FOREVER, environment, is_alive, lives, spec, until

DUMMY = Path(__file__).with_name("dummy_controller.py")
GRACE = Grace(after_request=10.0, after_sigterm=0.5, after_end=0.2)


def controller(run: Path, seconds: float, code: int) -> AgentSpec:
    argv = (sys.executable, str(DUMMY), str(run), str(seconds), str(code))
    return AgentSpec(name="controller", role="controller", argv=argv, env={"PYTHONPATH": environment()["PYTHONPATH"]}, gpus=())


def session(folder: Path, first: AgentSpec, agents: list[AgentSpec], *, max_restarts: int = 2) -> tuple[SessionEnd, str]:
    run = RunDirectory(folder)
    run.create()
    text = io.StringIO()
    observer = RunObserver(run.connection)
    backend = backend_of(first, agents, run=run, observer=observer, max_restarts=max_restarts, grace=GRACE)
    with StopSignals() as signals, LiveView(Console(file=text, width=200), live=True, hints=("hint",)) as view:
        end = drive(backend, observer, view, signals, startup_seconds=30.0)
    return end, text.getvalue()


def test_a_run_that_finishes_shows_its_status_and_leaves_nothing(tmp_path: Path) -> None:
    end, text = session(tmp_path, controller(tmp_path, 1.5, 0), [spec(tmp_path, "trainer-0", FOREVER)])
    assert end.exit_code == 0
    assert end.status is not None
    assert end.status.run_id == "dummy"
    assert "hint" in text
    assert "running: round 1 of 2" in text
    assert not any(is_alive(pid) for pid in lives(tmp_path, "trainer-0"))


def test_the_exit_code_of_a_failed_run_is_handed_on(tmp_path: Path) -> None:
    end, _ = session(tmp_path, controller(tmp_path, 0.3, 4), [])
    assert end.exit_code == EXIT_FAILED
    assert end.problems


def test_ctrl_c_stops_in_good_order(tmp_path: Path) -> None:
    def interrupt() -> None:
        until(lambda: lives(tmp_path, "trainer-0"), "the trainer is up")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    end, _ = session(tmp_path, controller(tmp_path, 60.0, 0), [spec(tmp_path, "trainer-0", FOREVER)])
    thread.join()
    assert end.exit_code == EXIT_STOPPED
    assert (tmp_path / "reason").read_text() == "SIGINT from the user"
    assert not any(is_alive(pid) for pid in lives(tmp_path, "trainer-0"))


def test_a_run_that_lost_a_whole_role_ends_at_once_and_says_why(tmp_path: Path) -> None:
    broken = spec(tmp_path, "trainer-0", "print('CUDA error')\nraise SystemExit(1)")
    end, _ = session(tmp_path, controller(tmp_path, 60.0, 0), [broken], max_restarts=0)
    assert end.exit_code == EXIT_FAILED
    assert "CUDA error" in end.problems[0]
    assert "no trainer is left" in end.problems[1]


def test_a_controller_that_cannot_start_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="did not come up"):
        session(tmp_path, spec(tmp_path, "controller", "raise SystemExit('no')", "controller"), [])


def test_a_silent_controller_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.create()
    observer = RunObserver(run.connection)
    silent = spec(tmp_path, "controller", FOREVER, "controller")
    backend = backend_of(silent, [], run=run, observer=observer, max_restarts=0, grace=GRACE)
    view = LiveView(Console(file=io.StringIO()), live=False, hints=())
    with StopSignals() as signals, pytest.raises(LaunchError, match="did not answer in time"):
        drive(backend, observer, view, signals, startup_seconds=0.5)
    assert backend.controller.pid is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_stop_signal_is_counted_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with listening_to(number), StopSignals() as signals:
        os.kill(os.getpid(), number)
        until(lambda: signals.count, "the signal came")
        assert signals.first is number
        assert not signals.impatient()
        os.kill(os.getpid(), number)
        until(signals.impatient, "the second signal came")
    assert signal.getsignal(number) is before


def test_a_closed_terminal_is_nothing_to_a_launcher_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: signals.count, "a signal came")
        assert (signals.count, signals.first) == (1, signal.SIGINT)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@contextlib.contextmanager
def listening_to(number: signal.Signals) -> Iterator[None]:
    """Take the signal as a process does that was started in the foreground, however pytest was."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_the_observer_says_none_for_a_run_that_is_not_there(tmp_path: Path) -> None:
    observer = RunObserver(tmp_path / "connection.json")
    assert observer.status() is None
    assert not observer.ask_to_stop("why not")
    observer.close()


def test_the_observer_does_not_wait_for_a_controller_that_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, str(DUMMY), str(tmp_path), "60", "0"], env=environment())
    observer = RunObserver(tmp_path / "connection.json")
    until(observer.status, "the dummy answers")
    process.kill()
    process.wait()
    assert (tmp_path / "connection.json").exists()
    assert observer.status(timeout_seconds=3600.0) is None
    observer.close()


def test_the_observer_follows_a_controller_that_moved(tmp_path: Path) -> None:
    observer = RunObserver(tmp_path / "connection.json")
    for _ in range(2):
        process = subprocess.Popen([sys.executable, str(DUMMY), str(tmp_path), "60", "0"], env=environment())
        until(lambda: observer.status(0.5), "the dummy answers")
        process.kill()
        process.wait()
    observer.close()
