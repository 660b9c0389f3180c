"""`Run`: rows that are ready for pandas, from runs of any state, read-only and light to import."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from run_builder import RunBuilder, make_complete

from protocol.errors import SealError
from seal_runtime import Run
from seal_runtime.config.loading import dump_topology
from seal_runtime.errors import LedgerError
from seal_runtime.ledger import Ledger
from seal_runtime.ledger.records import FailureRecord
from seal_runtime.store.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]


def _write(builder: RunBuilder, root: Path) -> RunDirectory:
    paths = RunDirectory(root)
    paths.create()
    paths.topology.write_text(dump_topology(builder.topology(task={"name": "run_builder:TinyTask"})))
    builder.write(paths.ledger)
    return paths


@pytest.fixture
def run(tmp_path: Path) -> Run:
    builder = RunBuilder()
    make_complete(builder)
    return Run.open(_write(builder, tmp_path / "run").root)


def test_rewards_are_the_rounds_edits_and_make_a_table(run: Run) -> None:
    table = pd.DataFrame(run.rewards())
    assert list(table.edit_id[:3]) == ["round-1/c0/e0", "round-1/c0/e1", "round-1/c1/e0"]
    assert table.groupby("round").reward.mean().to_dict() == {1: 0.375, 2: 0.8125}
    assert table.chosen.sum() == 4
    assert run.rewards()[0].asdict() == table.iloc[0].to_dict()


def test_one_study_can_be_asked_for(run: Run) -> None:
    assert [row.reward for row in run.rewards("heldout-v2")] == [0.5, 0.75, 0.75, 0.75, 1.0, 1.0]
    assert {row.study for row in run.edits("round-2")} == {"round-2"}
    assert {row.study for row in run.answers("no-update")} == {"no-update"}
    assert run.rewards("no-such-study") == []


def test_edits_carry_text_credit_and_inner_loop(run: Run) -> None:
    edits = {edit.edit_id: edit for edit in run.edits()}
    chosen, other = edits["round-2/c0/e1"], edits["round-2/c0/e0"]
    assert (chosen.text, chosen.reward, chosen.chosen, chosen.weight, chosen.state) == ("edit 2 c0 1", 1.0, True, 1.0, "scored")
    assert (chosen.num_tokens, chosen.mean_logprob, chosen.num_steps, chosen.first_loss, chosen.final_loss) == (1, -1.0, 3, 2.0, 1.0)
    assert chosen.adapter_sha256 == "a" * 64
    assert (other.chosen, other.weight) == (False, None)
    assert edits["heldout-v1/h0/e0"].round is None


def test_answers_come_with_question_and_gold(run: Run) -> None:
    first, *rest = run.answers("round-1")
    assert (first.question_id, first.gold, first.answer, first.score) == ("c0.q0", ("gold",), "gold", 1.0)
    assert "what is 0?" in first.question
    assert len(rest) == 4 * 4 - 1
    assert run.answers("no-update")[0].adapter_sha256 is None


def test_policies_and_studies_have_their_scores(run: Run) -> None:
    policies = run.policies()
    assert [(p.version, p.parent, p.num_chosen) for p in policies] == [(0, None, 0), (1, 0, 2), (2, 1, 2)]
    assert policies[2].heldout_score == pytest.approx(0.7916667)
    studies = {row.study: row for row in run.studies()}
    assert list(studies)[:5] == ["round-1", "round-2", "heldout-v0", "heldout-v1", "heldout-v2"]
    assert (studies["round-1"].mean_score, studies["round-1"].num_scored, studies["round-1"].num_contexts) == (0.375, 4, 2)
    assert studies["round-1"].edits_per_hour == pytest.approx(4 * 3600 / 14)


def test_studies_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    builder = RunBuilder()
    for study in ("heldout-v10", "heldout-v9", "round-10", "round-2", "no-update"):
        builder.grade(study, "h0", 0, 1)
    run = Run.open(_write(builder, tmp_path / "run").root)
    assert [row.study for row in run.studies()] == ["round-2", "round-10", "heldout-v9", "heldout-v10", "no-update"]


def test_unparsed_edits_have_reward_zero_and_lost_ones_none(tmp_path: Path) -> None:
    builder = RunBuilder()
    builder.propose("round-1", "c0", ["BROKEN", "fine"])
    builder.grade("round-1", "c0", 1, 4)
    builder.propose("round-1", "c1", ["lost", "late"])
    builder.set_aside("round-1/c1/e0/r0/adapt")
    run = Run.open(_write(builder, tmp_path / "run").root)
    assert [(row.edit_id, row.reward, row.unparsed) for row in run.rewards()] == [
        ("round-1/c0/e0", 0.0, True),
        ("round-1/c0/e1", 1.0, False),
    ]
    assert [(row.state, row.reward) for row in run.edits()] == [("unparsed", 0.0), ("scored", 1.0), ("invalid", None), ("missing", None)]
    assert (run.status.num_set_aside, run.status.num_results) == (1, 4)


def test_an_edit_that_was_drawn_again_is_its_last_draw(tmp_path: Path) -> None:
    builder = RunBuilder()
    builder.propose("round-1", "c0", ["BROKEN", "BROKEN"])
    builder.propose_again("round-1", "c0", 1, 1, "BROKEN")
    builder.propose_again("round-1", "c0", 0, 1, "fine")
    builder.grade("round-1", "c0", 0, 2)
    paths = _write(builder, tmp_path / "run")
    topology = {"task": {"name": "run_builder:TinyTask"}, "proposer": {"max_resamples": 2}}
    paths.topology.write_text(dump_topology(builder.topology(**topology)))
    assert [(row.text, row.state, row.reward) for row in Run.open(paths.root).edits()] == [
        ("fine", "scored", 0.5),
        ("BROKEN", "missing", None),
    ], "a second resample may still make it usable"
    topology["proposer"] = {"max_resamples": 1}
    paths.topology.write_text(dump_topology(builder.topology(**topology)))
    assert [(row.state, row.reward) for row in Run.open(paths.root).edits()] == [("scored", 0.5), ("unparsed", 0.0)]


def test_attempts_tell_successes_failures_and_what_was_given_up(tmp_path: Path) -> None:
    builder = RunBuilder()
    builder.grade("round-1", "c0", 0, 4)
    job = "round-1/c0/e1/r0/adapt"
    builder.records.append(FailureRecord(job_id=job, attempt=1, agent="trainer-0", error_type="AdaptError", reason="NaN", retryable=True))
    builder.set_aside(job)
    rows = Run.open(_write(builder, tmp_path / "run").root).attempts()
    assert [row.outcome for row in rows] == ["done", "done", "failed", "set aside"]
    assert [(row.stage, row.study, row.agent, row.error_type) for row in rows[2:]] == [
        ("adapt", "round-1", "trainer-0", "AdaptError"),
        ("adapt", "round-1", None, None),
    ]
    assert (rows[0].duration_seconds, rows[0].attempt, rows[2].started_at) == (2.0, 1, None)
    assert len(pd.DataFrame(rows)) == 4


def test_a_live_run_is_read_while_its_controller_writes(tmp_path: Path) -> None:
    builder = RunBuilder()
    builder.meta = {"run_id": "tiny-1", "phase": "running", "started_at": "1000.0"}
    paths = _write(builder, tmp_path / "run")
    run = Run.open(paths.root)
    assert (run.rewards(), run.edits(), run.studies(), run.metrics()) == ([], [], [], [])
    ledger = Ledger(paths.ledger)
    try:
        more = RunBuilder()
        more.propose("round-1", "c0", ["a", "b"])
        more.grade("round-1", "c0", 0, 2)
        ledger.commit(more.records[1:], now=2000.0, meta={})
        assert [row.reward for row in run.rewards()] == [0.5]
        assert (run.status.phase, run.status.finished, run.status.finished_at) == ("running", False, None)
        ledger.commit([], now=2001.0, meta={"phase": "done", "finished_at": "2001.0"})
        assert (run.status.phase, run.status.finished, run.status.finished_at) == ("done", True, 2001.0)
    finally:
        ledger.close()


def test_metrics_leave_out_a_line_that_is_being_written(run: Run) -> None:
    run.paths.metrics.write_text('{"study": "round-1", "mean_score": 0.5}\n{"study": "rou')
    assert run.metrics() == [{"study": "round-1", "mean_score": 0.5}]


def test_topology_summary_and_story_are_at_hand(run: Run) -> None:
    assert run.topology.run.rounds == 2
    assert run.summary().identity.run == "tiny"
    story = run.story("round-2/c0/e1")
    assert (story.reward, story.edit_id) == (1.0, "round-2/c0/e1")
    json.dumps(dataclasses.asdict(story))


def test_reading_changes_no_file(run: Run) -> None:
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    run.rewards(), run.edits(), run.answers(), run.policies(), run.studies(), run.attempts(), run.status, run.summary()
    after = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file() and path.name in before}
    assert after == before


def test_what_is_no_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="which is no folder"):
        Run.open(tmp_path / "missing")
    with pytest.raises(LedgerError, match=r"without topology\.resolved\.yaml"):
        Run.open(tmp_path)
    (tmp_path / "topology.resolved.yaml").write_text("run: {name: x}")
    with pytest.raises(LedgerError, match=r"without ledger\.sqlite"):
        Run.open(str(tmp_path))
    (tmp_path / "ledger.sqlite").write_text("no database at all")
    with pytest.raises(LedgerError, match="it is not a ledger of seal-runtime"):
        Run.open(tmp_path)


def test_a_task_that_is_not_here_is_missed_only_where_it_is_needed(tmp_path: Path) -> None:
    builder = RunBuilder()
    builder.propose("round-1", "c0", ["a"])
    builder.grade("round-1", "c0", 0, 2)
    paths = _write(builder, tmp_path / "run")
    paths.topology.write_text(paths.topology.read_text().replace("run_builder:TinyTask", "no_such_module_here:Task"))
    run = Run.open(paths.root)
    assert len(run.rewards()) == 1
    with pytest.raises(SealError, match="no_such_module_here"):
        run.summary()


def test_importing_the_package_stays_light() -> None:
    code = (
        "import sys, seal_runtime; light = set(sys.modules); from seal_runtime import Run;"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'datasets'};"
        "own = sorted(name for name in light if name.startswith('seal_runtime'));"
        "print(own, sorted(heavy & set(sys.modules)), hasattr(seal_runtime, 'X'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['seal_runtime'] [] False"
