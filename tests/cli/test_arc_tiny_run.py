"""The toy twin of the few-shot ARC experiment: its topology, the built-in model, and puzzles whose rules the model has never seen."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from live_runs import ROOT, launched

from seal_runtime.run import Run

SMALL = {
    "run.rounds": 1,
    "algorithm.contexts_per_round": 2,
    "algorithm.edits_per_context": 3,
    "evaluation.num_contexts": 4,
    "evaluation.edits_per_context": 1,
    "trainer.count": 1,
}
FILES = ("training_challenges", "training_solutions", "evaluation_challenges", "evaluation_solutions")


def test_the_toy_twin_runs_and_training_on_demonstrations_solves_puzzles(tmp_path: Path) -> None:
    settings = SMALL | {f"task.arc.{name}": ROOT / "examples" / "data" / "small-grids" / f"{name}.json" for name in FILES}
    options = [option for key, value in settings.items() for option in ("--set", f"{key}={value}")]
    result = launched("launch", str(ROOT / "examples" / "arc-tiny.yaml"), "--name", "twin", "--no-live", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr

    run = Run.open(tmp_path / "runs" / "twin")
    written = [edit for edit in run.edits() if edit.study == "round-1"]
    assert len(written) == 6
    assert len({edit.text for edit in written}) > 3
    assert sum(set(json.loads(edit.text)) == {"data_generation", "training"} for edit in written if edit.text.endswith("}\n}")) >= 3
    # Two attempts at four puzzles each, by votes: how many are solved depends on the machine's arithmetic, that some are does not.
    assert mean_score(run, "scripted") > mean_score(run, "no-update")


def mean_score(run: Run, study: str) -> float:
    scores = [row.reward for row in run.rewards(study)]
    return sum(scores) / len(scores)
