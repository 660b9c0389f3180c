"""A real launch with fake engines, measured from its ledger."""

import json

from typer.testing import CliRunner

from seal_runtime.cli.app import app

TOPOLOGY = """
run: {rounds: 1}
algorithm: {contexts_per_round: 3, edits_per_context: 2}
evaluation: {num_contexts: 2, edits_per_context: 1, baselines: false}
proposer: {engine: fake}
trainer: {engine: fake}
evaluator: {engine: fake}
"""


def test_a_run_is_measured_by_what_its_agents_did(tmp_path):
    topology, run = tmp_path / "topology.yaml", tmp_path / "run"
    topology.write_text(TOPOLOGY)
    done = CliRunner().invoke(app, ["bench", "end-to-end", str(topology), "--run-dir", str(run), "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["num_scored"] >= 6
    assert result["edits_per_hour"] > 0
    assert result["grading_seconds"] >= 0
    agents = {agent["agent"]: agent for agent in result["agents"]}
    assert set(agents["trainer-0"]["shares"]) == {"adapt", "policy"}
    assert set(agents["evaluator-0"]["shares"]) == {"evaluate"}
    assert all(0 <= agent["waiting"] <= 1 for agent in agents.values())
    again = CliRunner().invoke(app, ["bench", "end-to-end", str(run)])
    assert "self-edits scored" in again.stdout
    assert "waiting" in again.stdout
