"""The vLLM quickstart, whole and through the command line, and the same run with transformers: greedy proposals make them comparable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.jobs import EvaluateJob, EvaluateResult, ProposeResult
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.store.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
TRANSFORMERS = [f"{role}.{key}" for role in ("proposer", "evaluator") for key in ("engine=transformers", "engine_args={}")]


def _launch(folder, *overrides):
    """Run the example to its end and return its run directory."""
    arguments = [f"--set={override}" for override in ("proposer.sampling.temperature=0.0", *overrides)]
    command = [sys.executable, "-m", "seal_runtime.cli", "launch", "examples/quickstart-vllm.yaml", "--run-dir", str(folder), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=480, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return RunDirectory(folder)


def _read(run):
    """Return the results by job, and the hash of each policy version."""
    with LedgerReader(run.ledger) as ledger:
        assert list(ledger.set_aside()) == []
        return {row.job_id: row for row in ledger.results()}, [policy.adapter_sha256 for policy in ledger.policies()]


def _share_equal(pairs):
    return sum(ours == theirs for ours, theirs in pairs) / len(pairs)


def _check_receipts(results):
    rewarded = [row for row in results.values() if isinstance(row.job, EvaluateJob) and row.job.adapter is not None]
    assert rewarded
    for row in rewarded:
        assert row.result.receipt.adapter_sha256 == row.job.adapter.sha256
        assert row.result.receipt.probe_delta > 1e-4


@pytest.mark.timeout(1000)
def test_the_same_quickstart_runs_on_either_engine_with_equal_edits_answers_and_policy(tmp_path):
    ours, our_policies = _read(_launch(tmp_path / "vllm"))
    _check_receipts(ours)
    theirs, their_policies = _read(_launch(tmp_path / "transformers", *TRANSFORMERS))
    assert ours.keys() == theirs.keys()
    edits = [
        (mine.text, other.text)
        for name, row in ours.items()
        if isinstance(row.result, ProposeResult)
        for mine, other in zip(row.result.edits, theirs[name].result.edits, strict=True)
    ]
    assert len(edits) >= 20
    assert _share_equal(edits) >= 0.9
    answers = [
        (mine.text, other.text)
        for name, row in ours.items()
        if isinstance(row.result, EvaluateResult) and isinstance(row.job, EvaluateJob) and row.job == theirs[name].job
        for mine, other in zip(row.result.answers, theirs[name].result.answers, strict=True)
    ]
    assert len(answers) >= 400
    assert _share_equal(answers) >= 0.99
    assert len(our_policies) == len(their_policies) == 2
    if _share_equal([*edits, *answers]) == 1.0:
        assert our_policies == their_policies
