"""How our processes start and end: found wherever the user stands, and never alive without their launcher."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch import tether
from seal_runtime.own_modules import import_environment, module_command
from seal_runtime.parent_watch import PARENT_VARIABLE

DEADLINE_SECONDS = 60.0
MODULES = ("agents", "seal_runtime.controller", "seal_runtime.trackers")


@pytest.mark.parametrize("module", MODULES)
def test_folders_of_the_user_with_our_names_are_not_taken_for_ours(module: str, tmp_path: Path) -> None:
    for name in ("agents", "launch", "protocol", "seal_runtime"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a stranger')\n")
    command, environment = [*module_command(module), "--help"], os.environ | import_environment()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout


def test_without_the_kernels_help_the_environment_says_whose_life_to_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[tuple[str, list[str], str]] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sys, "argv", ["tether.py", "4711", "python", "-m", "agents"])
    monkeypatch.setenv(PARENT_VARIABLE, "")
    monkeypatch.setattr(os, "execvp", lambda file, argv: began.append((file, argv, os.environ[PARENT_VARIABLE])))
    tether.main()
    assert began == [("python", ["python", "-m", "agents"], "4711")]


@pytest.mark.parametrize("module", ["agents", "seal_runtime.controller"])
def test_a_process_that_watches_its_parent_dies_with_it(module: str, tmp_path: Path) -> None:
    arguments = ["critic", "--connection", str(tmp_path / "none.json"), "--controller-timeout", "600"]
    if module == "seal_runtime.controller":
        (tmp_path / "topology.resolved.yaml").write_text("task: {name: fictional}\nlimits: {no_agent_timeout_seconds: 600}\n")
        arguments = ["--run-dir", str(tmp_path)]
    command = [*module_command(module), *arguments]
    launcher = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen({command!r}, env=os.environ | {{{PARENT_VARIABLE!r}: str(os.getpid())}})\n"
        "print(child.pid, flush=True)\ntime.sleep(600)\n"
    )
    environment = os.environ | import_environment()
    parent = subprocess.Popen([sys.executable, "-c", launcher], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while _is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _is_alive(pid), "it would wait for ten minutes by itself"
    finally:
        parent.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
