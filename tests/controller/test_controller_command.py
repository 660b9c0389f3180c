"""The controller as a command: what it says and ends with when it cannot begin."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_exit_code_holds_when_the_message_cannot_be_written(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "seal_runtime.controller", "--run-dir", str(tmp_path / "none")]
        done = subprocess.run(command, stdout=full, stderr=full, timeout=60, check=False, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert done.returncode == 2


def test_wrong_settings_end_with_exit_code_2_and_a_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seal_runtime.controller", "--run-dir", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
