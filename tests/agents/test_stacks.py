"""What an agent tells of its own main thread, when, and when it ends itself."""

import faulthandler
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import stacks
from agents.stacks import EXIT_STUCK, LAST_SEEN_BYTES, StackWatch, calls_of, main_thread_calls, watch_silence
from protocol.messages import Heartbeat
from protocol.status import AgentState
from seal_runtime.config.topology import BusConfig, LimitsConfig, Topology

ROOT = Path(__file__).resolve().parent.parent.parent
TOPOLOGY = Topology(limits=LimitsConfig(stuck_seconds=20.0, step_timeout_seconds=100.0, startup_timeout_seconds=300.0))


class Hung(BaseException):
    """Stands in for the end of the process."""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> StackWatch:
    def end(reason: str) -> None:
        raise Hung(reason)

    monkeypatch.setattr(stacks, "_end", end)
    return StackWatch(TOPOLOGY, None)


def beat(step_age_seconds: float, state: AgentState = "busy") -> Heartbeat:
    return Heartbeat(
        state=state, job_ids=("a",), step_age_seconds=step_age_seconds, gpu_memory_bytes=0, gpu_busy_share=None, frames_dropped=0
    )


def reports(watch: StackWatch, ages: list[float], *, listening: bool = True) -> list[float]:
    """Return the ages at which a report came."""
    found = [watch(beat(age), listening=listening, refused=False) for age in ages]
    return [report.step_age_seconds for report in found if report is not None]


def test_a_stuck_thread_is_reported_at_once_and_again_each_minute(watch: StackWatch) -> None:
    assert reports(watch, [5.0, 19.9, 20.1, 20.4, 50.0, 80.0, 80.2, 99.0]) == [20.1, 80.2]


def test_the_next_step_is_another_case(watch: StackWatch) -> None:
    assert reports(watch, [25.0, 30.0, 0.1, 21.0, 30.0]) == [25.0, 21.0]


def test_a_controller_that_comes_back_is_told_again(watch: StackWatch) -> None:
    assert reports(watch, [25.0]) == [25.0]
    assert reports(watch, [30.0], listening=False) == []
    assert reports(watch, [35.0, 36.0]) == [35.0]


def test_a_hung_step_ends_the_process_a_little_after_the_controller_gave_it_up(watch: StackWatch) -> None:
    watch(beat(101.0), listening=True, refused=False)
    with pytest.raises(Hung, match=r"in one step for 103 s \(limits.step_timeout_seconds\)"):
        watch(beat(102.6), listening=False, refused=False)


def test_loading_has_a_limit_of_its_own(watch: StackWatch) -> None:
    watch(beat(301.0, "starting"), listening=True, refused=False)
    with pytest.raises(Hung, match="startup_timeout_seconds"):
        watch(beat(302.5, "starting"), listening=True, refused=False)


def test_a_main_thread_that_takes_no_note_of_a_refusal_ends_the_process(watch: StackWatch) -> None:
    for age in (50.0, 59.0, 0.1, 9.0):
        watch(beat(age), listening=False, refused=True)
    with pytest.raises(Hung, match="gave this agent up"):
        watch(beat(10.5), listening=False, refused=True)


def test_the_main_threads_calls_are_read_from_another_thread() -> None:
    found: list[tuple[str, ...]] = []
    thread = threading.Thread(target=lambda: found.append(main_thread_calls()))
    thread.start()
    thread.join(30)
    (calls,) = found
    assert any(
        call.startswith("agents/test_stacks.py:") and call.endswith(" test_the_main_threads_calls_are_read_from_another_thread")
        for call in calls
    )
    assert not any(call.startswith("/") for call in calls)


def test_deep_recursion_keeps_the_innermost_calls() -> None:
    def deeper(depth: int) -> tuple[str, ...]:
        return deeper(depth - 1) if depth else calls_of(sys._getframe())

    calls = deeper(200)
    assert len(calls) == 60
    assert {call.split()[-1] for call in calls} == {"deeper"}


def test_the_end_of_a_process_says_why_and_where() -> None:
    code = """
import threading, time
from agents import stacks
def hang(): time.sleep(600)
threading.Timer(0.5, lambda: stacks._end("because")).start()
hang()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_STUCK
    assert "error: because; it was at <string>:4 hang < <string>:6 <module>" in done.stderr


def test_silence_is_written_down_by_a_thread_that_needs_no_lock(tmp_path: Path) -> None:
    topology = Topology(bus=BusConfig(agent_timeout_seconds=2.0))
    watch = watch_silence(tmp_path / "trainer-0.jsonl", topology)
    assert watch is not None
    path = tmp_path / "trainer-0.stack"
    try:
        watch.put_off()
        deadline = time.monotonic() + 60
        while "Timeout" not in path.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        watch.close()
        watch.close()
    watch.put_off()
    text = path.read_text()
    assert text.startswith(f"main thread 0x{threading.get_ident():016x} of process {os.getpid()}\nlast seen: ")
    assert f"Thread 0x{threading.get_ident():016x} (most recent call first)" in text[LAST_SEEN_BYTES:]
    assert "in test_silence_is_written_down_by_a_thread_that_needs_no_lock" in text


def test_a_silence_that_is_over_leaves_no_dump_and_the_last_place_is_kept_up_to_date(tmp_path: Path) -> None:
    watch = watch_silence(tmp_path / "trainer-0.jsonl", Topology(bus=BusConfig(agent_timeout_seconds=2.0)))
    assert watch is not None
    path = tmp_path / "trainer-0.stack"

    def until(condition: Callable[[], bool], *, alive: bool) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, path.read_text()
            if alive:
                watch.put_off()
            time.sleep(0.05)

    try:
        watch.put_off()
        until(lambda: path.stat().st_size > LAST_SEEN_BYTES, alive=False)
        until(lambda: path.stat().st_size == LAST_SEEN_BYTES, alive=True)
        until(lambda: " until < " in path.read_text(), alive=True)
        until(lambda: path.stat().st_size > LAST_SEEN_BYTES, alive=False)
        text = path.read_text()
    finally:
        watch.close()
    assert "\0" not in text
    assert text[LAST_SEEN_BYTES:].startswith("Timeout (")


def test_without_a_place_for_the_file_there_is_no_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse: Callable[..., None] = pytest.fail
    monkeypatch.setattr(faulthandler, "dump_traceback_later", refuse)
    assert watch_silence(None, TOPOLOGY) is None
    assert watch_silence(tmp_path / "missing" / "a.jsonl", TOPOLOGY) is None
