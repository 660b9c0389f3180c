"""`seal-runtime plan` on an example, and on a real run with fake engines."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seal_runtime.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--set", "algorithm.contexts_per_round=4", "--set", "evaluation.num_contexts=4"]
TOPOLOGY = """
run: {rounds: 1}
algorithm: {contexts_per_round: 3, edits_per_context: 2}
evaluation: {num_contexts: 2, edits_per_context: 1, baselines: false}
proposer: {engine: fake}
trainer: {engine: fake}
evaluator: {engine: fake}
"""


def test_an_example_is_planned_without_its_model(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["plan", str(ROOT / "examples" / "qwen-7b-8gpu.yaml"), "--gpus", "8,16", "--json", *SMALL])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["gpu"] == "H100"
    assert {memory["role"] for memory in found["memory"]} == {"proposer", "evaluator", "trainer"}
    assert all(cost["source"].startswith("roofline") for cost in found["costs"].values())
    assert [fleet["num_gpus"] for fleet in found["fleets"]] in ([8, 16], [8, 8, 16])
    assert {fleet["num_scored"] for fleet in found["fleets"]} == {2 * 20 + 3 * 4 + 3 * 4}
    assert all(fleet["bottleneck"] for fleet in found["fleets"])


def test_memory_that_does_not_suffice_is_an_exit_code_and_an_advice(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    example = str(ROOT / "examples" / "qwen-7b-8gpu.yaml")
    done = CliRunner().invoke(app, ["plan", example, "--gpu", "L4", "--gpus", "", *SMALL], env={"COLUMNS": "140"})
    assert done.exit_code == 1, done.output
    assert "does not fit" in done.stdout
    assert "max_model_len" in done.stdout


def test_a_run_is_planned_from_its_own_times_and_compared_with_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("topology.yaml").write_text(TOPOLOGY)
    done = CliRunner().invoke(app, ["bench", "end-to-end", "topology.yaml", "--run-dir", "runs/small", "--json"])
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    done = CliRunner().invoke(app, ["plan", "--from", "small", "--gpus", "6", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["unit"] == "processes"
    assert found["memory"] == []
    assert all(cost["source"].startswith("measured") for cost in found["costs"].values())
    assert found["comparison"]["measured_edits_per_hour"] == pytest.approx(measured["edits_per_hour"])
    assert {fleet["num_scored"] for fleet in found["fleets"]} == {measured["num_scored"]}


def test_a_topology_without_gpus_needs_measured_times(tmp_path):
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    done = CliRunner().invoke(app, ["plan", str(tmp_path / "topology.yaml")])
    assert done.exit_code != 0
    assert "--from RUN" in str(done.exception)


def test_tasks_unlike_the_published_one_need_self_edits_of_their_own(tmp_path):
    done = CliRunner().invoke(app, ["plan", str(ROOT / "examples" / "arc-llama-1b.yaml")])
    assert done.exit_code != 0
    assert "--edits FILE" in str(done.exception)
