import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seal_runtime.cli.app import app
from seal_runtime.cli.log_files import LogFollower, TimeOrder, merged
from seal_runtime.cli.log_filter import LogFilter, parse_line, parse_since
from seal_runtime.cli.log_text import clock_time, colored, readable
from seal_runtime.errors import ConfigError
from seal_runtime.store.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 30.0


def event(second: int, name: str, agent: str, **fields: Any) -> str:
    role = agent.partition("-")[0]
    line = {"role": role, "agent": agent, "run": "x", "level": "info", "event": name, **fields}
    return json.dumps(line | {"time": f"2025-01-01T10:00:{second:02d}.000+00:00"}) + "\n"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "x")
    run.create()
    run.topology.write_text("{}")
    run.log("trainer-0").write_text(
        event(1, "agent_ready", "trainer-0") + event(4, "edit_adapted", "trainer-0", job="round-1/ada/e0/r0/adapt", final_loss=0.5)
    )
    run.log("evaluator-0").write_text(
        event(2, "agent_ready", "evaluator-0")
        + event(5, "edit_graded", "evaluator-0", round=2, reward=0.4)
        + event(6, "grader_failed", "evaluator-0", level="error", reason="no answer")
    )
    run.log("controller").write_text(event(3, "round_opened", "controller", round=1))
    return run


def events(run: RunDirectory, *options: str) -> list[str]:
    result = CliRunner().invoke(app, ["logs", str(run.root), "--json", *options])
    assert result.exit_code == 0, result.output
    return [json.loads(line)["event"] for line in result.output.splitlines()]


def test_all_agents_are_merged_in_order_of_time(run: RunDirectory) -> None:
    assert events(run) == ["agent_ready", "agent_ready", "round_opened", "edit_adapted", "edit_graded", "grader_failed"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--role", "trainer"], ["agent_ready", "edit_adapted"]),
        (["--agent", "evaluator-0", "--event", "agent_ready"], ["agent_ready"]),
        (["--job", "ada/e0"], ["edit_adapted"]),
        (["--round", "1"], ["round_opened", "edit_adapted"]),
        (["--round", "2"], ["edit_graded"]),
        (["--level", "warning"], ["grader_failed"]),
        (["--since", "2025-01-01T10:00:05+00:00"], ["edit_graded", "grader_failed"]),
        (["-n", "1"], ["grader_failed"]),
        (["--role", "critic"], []),
    ],
)
def test_filters_choose_lines(run: RunDirectory, options: list[str], expected: list[str]) -> None:
    assert events(run, *options) == expected


def test_lines_for_people_have_time_level_agent_event_and_fields(run: RunDirectory) -> None:
    line = readable(parse_line(event(5, "edit_graded", "evaluator-0", round=2, text="two words")))
    assert line.split()[2:5] == ["info", "evaluator-0", "edit_graded"]
    assert "round=2 text='two words'" in line


def test_a_time_has_its_date_unless_that_is_today() -> None:
    moment = datetime(2025, 1, 1, 10, 0, 5, 250_000).astimezone()
    text = moment.isoformat()
    assert clock_time(text, moment.date()) == "10:00:05.250"
    assert clock_time(text, moment.date() + timedelta(days=1)) == "2025-01-01 10:00:05.250"
    assert clock_time("", moment.date()) == "--:--:--.---"


def test_control_characters_of_a_model_do_not_reach_the_terminal() -> None:
    hostile = parse_line(event(1, "edit\x1b[2J", "trainer-0\x1b[31m", text="\x1b[31mred"))
    assert "\x1b" not in readable(hostile)
    assert "\x1b[2J" not in colored(hostile)


@pytest.mark.parametrize(("option", "expected"), [("--level=loud", "debug, info"), ("--since=yesterday", "10m")])
def test_a_wrong_filter_is_explained(run: RunDirectory, option: str, expected: str) -> None:
    result = CliRunner().invoke(app, ["logs", str(run.root), option])
    assert isinstance(result.exception, ConfigError)
    assert expected in str(result.exception)


def test_since_counts_back_from_now() -> None:
    now = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert parse_since("90s", now) == "2025-01-01T11:58:30.000+00:00"
    assert parse_since("2h", now) == "2025-01-01T10:00:00.000+00:00"


def test_a_line_that_is_no_json_is_shown_where_it_stands(run: RunDirectory) -> None:
    with run.log("trainer-0").open("a") as stream:
        stream.write("Segmentation fault\n")
    texts = [line.text for line in merged(run.logs)]
    assert texts[4] == "Segmentation fault"


def test_a_half_written_line_waits_until_it_is_whole(run: RunDirectory) -> None:
    follower = LogFollower(run.logs)
    assert len(list(follower.new_lines())) == 6
    whole = event(7, "late", "trainer-0")
    with run.log("trainer-0").open("a") as stream:
        stream.write(whole[:20])
        stream.flush()
        assert list(follower.new_lines()) == []
        stream.write(whole[20:])
    assert [line.fields["event"] for line in follower.new_lines()] == ["late"]
    assert len(list(merged(run.logs))) == 7


def test_a_follower_sees_new_files_and_survives_rotation(run: RunDirectory) -> None:
    follower = LogFollower(run.logs)
    list(follower.new_lines())
    run.log("critic-0").write_text(event(8, "credit_given", "critic-0"))
    run.log("controller").rename(run.logs / "controller.jsonl.1")
    run.log("controller").write_text(event(7, "round_closed", "controller"))
    assert [line.fields["event"] for line in follower.new_lines()] == ["round_closed", "credit_given"]


def test_a_truncated_file_is_read_from_its_beginning(run: RunDirectory) -> None:
    follower = LogFollower(run.logs)
    list(follower.new_lines())
    run.log("evaluator-0").write_text(event(9, "again", "evaluator-0"))
    assert [line.fields["event"] for line in follower.new_lines()] == ["again"]


def test_a_line_without_the_asked_field_is_not_wanted() -> None:
    assert not LogFilter(round=1).wants(parse_line("{}"))
    assert LogFilter().wants(parse_line("not json"))


def test_following_prints_what_comes_and_ends_with_ctrl_c(run: RunDirectory) -> None:
    command = [sys.executable, "-u", "-m", "seal_runtime.cli", "logs", "-f", "--json", "--event", "late"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    output = run.root / "followed"
    with output.open("w") as stream:
        process = subprocess.Popen(command, cwd=run.root.parent.parent, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        with run.log("trainer-9").open("a") as log:
            log.write(event(9, "late", "trainer-9"))
        deadline = time.monotonic() + DEADLINE_SECONDS
        while "trainer-9" not in output.read_text():
            assert time.monotonic() < deadline, "the line was not followed"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=30)
    assert code == 0
    assert len(output.read_text().splitlines()) == 1


def test_lines_that_arrive_out_of_order_are_put_in_order() -> None:
    order = TimeOrder(hold_seconds=0.5)
    order.add(parse_line(event(5, "late", "trainer-0")), now=10.0)
    order.add(parse_line(event(4, "early", "evaluator-0")), now=10.2)
    assert list(order.ready(10.3)) == []
    order.add(parse_line(event(6, "young", "critic-0")), now=10.4)
    assert [line.fields["event"] for line in order.ready(10.5)] == ["early", "late"]
    assert [line.fields["event"] for line in order.ready(10.6)] == []
    assert [line.fields["event"] for line in order.rest()] == ["young"]


def test_a_process_of_two_roles_is_found_by_either_name() -> None:
    line = parse_line(event(1, "agent_joined", "proposer-0+evaluator-0", role="proposer+evaluator"))
    assert LogFilter(role="evaluator").wants(line)
    assert LogFilter(agent="proposer-0").wants(line)
    assert LogFilter(agent="proposer-0+evaluator-0").wants(line)
    assert not LogFilter(agent="proposer-1").wants(line)


def test_rotated_files_are_read_before_the_newest(run: RunDirectory) -> None:
    (run.logs / "trainer-0.jsonl.1").write_text(event(0, "earlier", "trainer-0"))
    assert events(run, "--role", "trainer") == ["earlier", "agent_ready", "edit_adapted"]
