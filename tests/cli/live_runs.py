"""Runs through the command line for tests: engines that learn nothing but need no model, so seconds instead of minutes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from protocol.errors import SealError
from seal_runtime.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 120.0
TOPOLOGY = """
run: {name: tiny, rounds: 1}
algorithm: {contexts_per_round: 3, edits_per_context: 2}
evaluation: {num_contexts: 2, edits_per_context: 1}
proposer: {engine: fake}
trainer: {engine: fake, count: 2, lora: {rank: 4, alpha: 8.0}}
evaluator: {engine: fake}
"""
LONG = ("--set", "run.rounds=200", "--set", "algorithm.contexts_per_round=60", "--set", "algorithm.edits_per_context=16")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "seal_runtime.cli", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def launched(*arguments: str, cwd: Path) -> Answer:
    """Run a command that drives a run, in a process of its own."""
    result = subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    return Answer(returncode=result.returncode, stdout=result.stdout, stderr=result.stderr)


def seal(*arguments: str, cwd: Path) -> Answer:
    """Run a command in this process, with errors as `main` prints them."""
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, SealError):
        return Answer(returncode=2, stdout=result.stdout, stderr=f"error: {result.exception}")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(returncode=result.exit_code, stdout=result.stdout, stderr=result.stderr)


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.1)


def status_of(run: str, cwd: Path) -> dict[str, object]:
    result = seal("status", run, "--json", cwd=cwd)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def processes_of(folder: Path) -> list[str]:
    """Return the command lines that name the folder, of processes that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@contextlib.contextmanager
def running(workplace: Path, name: str, *extra: str) -> Iterator[subprocess.Popen[str]]:
    """Launch a run of `tiny.yaml` that goes on for long, wait until something is scored, and end it afterwards."""
    process = subprocess.Popen(
        command("launch", "tiny.yaml", "--name", name, "--no-live", *LONG, *extra),
        cwd=workplace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: (workplace / "runs" / name / "connection.json").exists() or process.poll() is not None, "the run is up")
        until(lambda: int(str(status_of(name, workplace)["items_done"])) > 0, "something is scored")
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Stop a launcher or agent in good order, or else at once."""
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
