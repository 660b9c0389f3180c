"""Logs: whole JSON lines with the bound fields, and no crash when the disk is full."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, structlog
from pathlib import Path
from seal_runtime.logging import configure_logging
configure_logging(role="trainer", agent="trainer-0", run="r", log_file=Path(sys.argv[1]), console=False)
log = structlog.get_logger()
log.debug("too_quiet")
log.info("edit_graded", round=3, reward=0.4)
print("alive")
"""


def _run(log_file: str, **redirect: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT, log_file], stdout=subprocess.PIPE, text=True, timeout=60, check=False, **redirect)


def test_an_event_is_one_json_line_with_the_bound_fields(tmp_path: Path) -> None:
    assert _run(str(tmp_path / "logs" / "t.jsonl")).returncode == 0
    (line,) = (tmp_path / "logs" / "t.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert (event["role"], event["agent"], event["run"]) == ("trainer", "trainer-0", "r")
    assert (event["event"], event["round"], event["reward"], event["level"]) == ("edit_graded", 3, 0.4, "info")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_log_and_stderr_does_not_stop_the_work() -> None:
    with Path("/dev/full").open("w") as full:
        result = _run("/dev/full", stderr=full)
    assert result.stdout == "alive\n"
