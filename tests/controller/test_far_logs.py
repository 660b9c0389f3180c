"""Lines of agents on other hosts: in the right file, under the right name, whatever the sender claims, and never without bound."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from protocol.messages import LogLines
from seal_runtime.controller.far_logs import BYTES_PER_SECOND, MAX_SAVED_SECONDS, FarLogs
from seal_runtime.store.log_file import NEVER, Rotation
from seal_runtime.store.run_directory import RunDirectory

TIME = "2025-01-01T10:00:00.000+00:00"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    return run


def lines_of(run: RunDirectory, agent: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in run.log(agent).read_text().splitlines()]


def batch(*lines: object, num_dropped: int = 0) -> LogLines:
    return LogLines(lines=tuple(text if isinstance(text, str) else json.dumps(text) for text in lines), num_dropped=num_dropped)


def test_a_line_is_kept_under_its_true_sender(run: RunDirectory) -> None:
    far = FarLogs(run, NEVER)
    claim = {"time": TIME, "event": "run_ended", "agent": "../../controller", "role": "controller", "run": "other", "text": "a\nb"}
    far.take("far", "trainer", "x", batch(claim), now=0.0)
    assert lines_of(run, "far") == [claim | {"agent": "far", "role": "trainer", "run": "x"}]
    assert [path.name for path in run.logs.iterdir()] == ["far.jsonl"]


def test_times_of_other_zones_are_written_as_the_logs_have_them(run: RunDirectory) -> None:
    FarLogs(run, NEVER).take("far", "trainer", "x", batch({"time": "2025-01-01T12:00:00+02:00", "event": "e"}), now=0.0)
    assert lines_of(run, "far")[0]["time"] == TIME


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[1]",
        "no json",
        "{}",
        '{"time": 5}',
        '{"time": "soon"}',
        '{"time": "' + TIME,
        "[" * 8000,
        '{"time": "' + "9" * 9000 + '"}',
    ],
)
def test_what_is_no_event_is_refused_and_counted(run: RunDirectory, text: str) -> None:
    FarLogs(run, NEVER).take("far", "trainer", "x", batch(text, {"time": TIME, "event": "fine"}), now=0.0)
    told, fine = lines_of(run, "far")
    assert (told["event"], told["count"], told["level"], told["agent"]) == ("log_lines_dropped", 1, "warning", "far")
    assert fine["event"] == "fine"


def test_lines_that_the_agent_lost_are_told(run: RunDirectory) -> None:
    FarLogs(run, NEVER).take("far", "trainer", "x", batch({"time": TIME, "event": "e"}, num_dropped=7), now=0.0)
    assert [line["event"] for line in lines_of(run, "far")] == ["log_lines_dropped", "e"]
    assert lines_of(run, "far")[0]["count"] == 7


def test_an_agent_beyond_its_allowance_loses_lines_and_another_does_not(run: RunDirectory) -> None:
    far = FarLogs(run, NEVER)
    text = json.dumps({"time": TIME, "event": "flood", "pad": "x" * 16_000})
    num_fitting = int(BYTES_PER_SECOND * MAX_SAVED_SECONDS) // len(text)
    for _ in range(2 * num_fitting):
        far.take("far", "trainer", "x", batch(text), now=0.0)
    far.take("near", "trainer", "x", batch({"time": TIME, "event": "e"}), now=0.0)
    assert len(lines_of(run, "far")) == num_fitting
    assert len(lines_of(run, "near")) == 1
    far.take("far", "trainer", "x", batch({"time": TIME, "event": "later"}), now=1.0)
    told, later = lines_of(run, "far")[num_fitting:]
    assert (told["count"], later["event"]) == (num_fitting, "later")


def test_files_of_far_agents_are_rotated(run: RunDirectory) -> None:
    far = FarLogs(run, Rotation(max_bytes=1000, num_kept=2))
    for number in range(100):
        far.take("far", "trainer", "x", batch({"time": TIME, "event": "e", "n": number}), now=float(number))
    assert sorted(path.name for path in run.logs.iterdir()) == ["far.jsonl", "far.jsonl.1", "far.jsonl.2"]
    assert all(path.stat().st_size <= 1000 for path in run.logs.iterdir())


def test_a_disk_that_takes_nothing_is_told_once_and_stops_nothing(run: RunDirectory) -> None:
    run.log("far").mkdir()
    far = FarLogs(run, NEVER)
    with structlog.testing.capture_logs() as events:
        for number in range(3):
            far.take("far", "trainer", "x", batch({"time": TIME, "event": "e"}), now=float(number))
    assert [(entry["event"], entry["worker"]) for entry in events] == [("far_log_lost", "far")]
