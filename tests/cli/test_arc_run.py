"""Task arc as a launched run: its own controller, trainer and evaluator processes, a real model, and what people are told of it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tasks" / "arc"))
from arc_files import write_files
from live_runs import launched, seal

from protocol.jobs import AdaptJob, EvaluateJob
from seal_runtime.chaos.ledger_audit import read_audit
from seal_runtime.chaos.verification import verify_ledger
from seal_runtime.config.loading import load_resolved
from seal_runtime.controller.plan import make_plan
from seal_runtime.run import Run
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.tasks.registry import make_task

TOPOLOGY = """
run: {{name: puzzles, rounds: 1}}
task:
  name: arc
  arc: {{{files}, max_examples: 6, max_chars: 400, max_side: 4, permutations: 1}}
algorithm: {{contexts_per_round: 2, edits_per_context: 2, select: solved}}
evaluation: {{num_contexts: 1, edits_per_context: 1}}
proposer: {{engine: fake, max_resamples: 1}}
trainer: {{lora: {{rank: 4, alpha: 8.0}}, optim: {{batch_size: 2, schedule: cosine, warmup_steps: 2, epochs: 1, max_length: 512}}}}
evaluator: {{max_new_tokens: 16}}
"""


def test_a_run_of_puzzles(tmp_path: Path) -> None:
    arc = write_files(tmp_path, training=3, evaluation=1)
    files = ", ".join(f"{name}: {value}" for name, value in arc.model_dump().items() if name.startswith(("training", "evaluation")))
    (tmp_path / "puzzles.yaml").write_text(TOPOLOGY.format(files=files))
    result = launched("launch", "puzzles.yaml", "--no-live", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr

    run = RunDirectory(tmp_path / "runs" / "puzzles")
    topology, audit = load_resolved(run.topology), read_audit(run.ledger)
    task = make_task(topology.task)
    checks = verify_ledger(audit, topology, make_plan(topology, task), task, exit_code=0)
    assert [check for check in checks if not check.passed] == []

    # The fake proposer writes no JSON: every self-edit is drawn twice and then gets the lowest reward, so nothing is solved.
    opened = Run.open(tmp_path / "runs" / "puzzles")
    assert [(row.reward, row.unparsed) for row in opened.rewards()] == [(0.0, True)] * 4
    assert sum("/s1/propose" in row.job_id for row in audit.rows) == 4 + 2
    (scripted,) = (row for row in audit.rows if row.place[:2] == ("adapt", "scripted"))
    assert isinstance(scripted.job, AdaptJob)
    # 6 puzzles in batches of 2, 2 epochs
    assert (scripted.job.optim.num_steps, scripted.job.optim.learning_rate, len(scripted.job.sequences)) == (6, 1e-4, 6)
    (examined,) = (row for row in audit.rows if row.place[:2] == ("evaluate", "scripted"))
    assert isinstance(examined.job, EvaluateJob)
    assert (examined.job.stop, examined.job.scoring, examined.score) == ("#", "task", 0.0)
    assert len(examined.job.questions) == 5

    told = seal("story", "round-1/train0/e1", cwd=tmp_path)
    assert "it cannot be parsed (expected a JSON object" in told.stdout
    assert "propose s1" in told.stdout
    ceiling = seal("story", "scripted/eval0/e0", cwd=tmp_path)
    assert "Figure out the underlying transformation" in ceiling.stdout
    assert "scores are the means of its verdicts" in seal("seal", "export", "puzzles", "--study", "round-1", cwd=tmp_path).stderr
