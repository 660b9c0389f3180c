"""The generation benchmark with both engines, as a person runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seal_runtime.cli.doctor_checks import check_vllm

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_both_engines_are_measured_side_by_side_and_agree():
    options = ["--adapters", "1,3", "--questions", "4", "--repeats", "2", "--topology", "examples/quickstart-vllm.yaml", "--json"]
    command = [sys.executable, "-m", "seal_runtime.cli", "bench", "generation", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout)
    measured = [(arm["engine"], arm["num_adapters"]) for arm in result["answering"]]
    assert measured == [("PEFT generate", 1), ("transformers", 1), ("vllm", 1), ("transformers", 3), ("vllm", 3)]
    assert all(arm["num_equal"] >= 11 for arm in result["answering"][1:])
    assert result["agreement"]["num_compared"] == 24
    assert result["agreement"]["num_equal"] >= 23
    assert result["agreement"]["largest_gap"] < 1e-3
    assert [arm["engine"] for arm in result["sampling"]] == ["transformers", "vllm"]
    assert all(arm["tokens_per_second"] > 0 for arm in result["sampling"])
    assert any(name.startswith("vllm") for name in result["versions"])


def test_the_doctor_knows_the_version_whatever_the_build_is_called():
    found = check_vllm()
    assert found.state == "ok"
    assert found.detail[0].isdecimal()
