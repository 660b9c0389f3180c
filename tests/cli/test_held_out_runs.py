"""The toy twins of continued pretraining and continual self-edits, smaller: a real model, real processes, and every view of the result."""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from live_runs import ROOT, launched, seal

from seal_runtime import Run
from seal_runtime.chaos.ledger_audit import read_audit
from seal_runtime.chaos.verification import verify_ledger
from seal_runtime.controller.plan import make_plan
from seal_runtime.tasks.registry import make_task

SMALL = {"run.rounds": 0, "trainer.count": 1, "evaluation.retention": "false", "proposer.sampling.max_new_tokens": 24}


def launch(twin: str, cwd: Path, **settings: object) -> Run:
    """Run a twin, and check its ledger as after a disturbed run."""
    chosen = SMALL | {name.replace("__", "."): value for name, value in settings.items()}
    options = [option for key, value in chosen.items() for option in ("--set", f"{key}={value}")]
    result = launched("launch", str(ROOT / "examples" / f"{twin}.yaml"), "--no-live", *options, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    run = Run.open(cwd / "runs" / twin)
    task = make_task(run.topology.task)
    checks = verify_ledger(read_audit(run.paths.ledger), run.topology, make_plan(run.topology, task), task, exit_code=0)
    assert all(check.passed for check in checks), checks
    return run


def reported(cwd: Path) -> Any:
    return json.loads(seal("report", "--json", cwd=cwd).stdout)


def test_one_adapter_learns_several_passages_and_is_examined_on_each(tmp_path: Path) -> None:
    run = launch("cpt-tiny", tmp_path, evaluation__cpt__num_contexts=3, evaluation__cpt__edits_per_context=2)
    rows = {row["key"]: row for row in reported(tmp_path)["table"]}
    assert list(rows) == ["cpt-no-update", "cpt-passage-only", "cpt-v0", "cpt-scripted"]
    assert all(row["num_contexts"] == 3 and not row["num_missing"] for row in rows.values())
    assert len({answer.adapter_sha256 for answer in run.answers("cpt-v0")}) == 1
    assert {edit.state for edit in run.edits("cpt-v0")} <= {"scored", "unparsed"}
    context_id = run.edits("cpt-v0")[0].context_id
    story = run.story(f"cpt-v0/{context_id}/e1")
    assert story.replicates[0].training is not None
    assert story.replicates[0].score == story.reward
    assert story.questions
    assert "for continued pretraining, never credited" in seal("story", f"cpt-v0/{context_id}/e0", cwd=tmp_path).stdout


def test_passages_are_learned_one_after_the_other(tmp_path: Path) -> None:
    run = launch("continual-tiny", tmp_path, evaluation__continual__num_sequences=2, evaluation__continual__sequence_length=2)
    cells = run.continual()
    assert len(cells) == 2 * 3 * 2
    assert all(cell.score is not None for cell in cells)
    summary = reported(tmp_path)
    (matrix,) = summary["continual"]
    first = [cell.score or 0.0 for cell in cells if (cell.num_edits, cell.passage) == (1, 1)]
    assert matrix["figures"]["cells"][1][0]["mean"] == sum(first) / 2
    assert matrix["figures"]["forgetting"]["num"] == 2
    (line,) = [line for line in run.metrics() if line["purpose"] == "continual"]
    assert line["continual"]["forgetting"] == matrix["figures"]["forgetting"]
    story = run.story(f"continual-v0/{cells[0].context_id}/e0")
    assert [replicate.number for replicate in story.replicates if replicate.training is not None] == [1]
    assert story.reward == next(cell.score for cell in cells if (cell.num_edits, cell.context_id) == (2, cells[0].context_id))
    shown = seal("story", f"continual-v0/{cells[0].context_id}/e0", cwd=tmp_path).stdout
    assert "merged before the next one" in shown
    assert "Forgetting" in seal("report", cwd=tmp_path).stdout
    assert "expected a study with self-edits (none yet)" in seal("seal", "export", "--study", "continual-v0", cwd=tmp_path).stderr
