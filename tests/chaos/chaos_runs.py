"""The topology of the disturbed runs and how the tests start them."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from protocol.errors import SealError
from seal_runtime.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 240.0
NUM_INJECTIONS = 13
TOPOLOGY = """
run: {name: tiny, rounds: 2}
task: {name: "varied_task:VariedTask"}
algorithm: {contexts_per_round: 8, edits_per_context: 3, replicates: 2}
evaluation:
  num_contexts: 4
  edits_per_context: 1
  cpt: {num_contexts: 3, edits_per_context: 2, replicates: 2}
  continual: {num_sequences: 2, sequence_length: 2}
bus: {heartbeat_seconds: 0.2, agent_timeout_seconds: 1.5}
proposer: {engine: fake, max_concurrent_jobs: 2, max_resamples: 1, engine_args: {delay_seconds: 0.05}}
trainer: {engine: fake, count: 2, max_concurrent_adapters: 4, lora: {rank: 4, alpha: 8.0}}
evaluator: {engine: fake, count: 2, max_concurrent_jobs: 2, engine_args: {delay_seconds: 0.1}}
"""


def refusal(*arguments: str, cwd: Path) -> str:
    """Return the error with which the command refuses to begin, in this process."""
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(app, ["chaos", *arguments])
    assert isinstance(result.exception, SealError), result.output
    return str(result.exception)


def chaos(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(__file__).parent))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "seal_runtime.cli", "chaos", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
