"""The figures of a run, checked against numbers worked out by hand (see `_complete` in conftest.py)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seal_runtime.config.loading import dump_topology
from seal_runtime.errors import LedgerError
from seal_runtime.report.model import RunSummary
from seal_runtime.report.summary import summarise, summarise_run
from seal_runtime.store.run_directory import RunDirectory

Builder = Any
Summarise = Callable[[Builder], RunSummary]


def test_table_has_the_rows_in_order(complete_run: Builder, summary_of: Summarise) -> None:
    assert [row.key for row in summary_of(complete_run).table] == [
        "no-update",
        "passage-only",
        "passage-only-equal-steps",
        "heldout-v0",
        "heldout-v1",
        "heldout-v2",
        "scripted",
        "retention-v0",
        "retention-v2",
    ]


@pytest.mark.parametrize(
    ("key", "mean", "stderr", "contexts", "edits"),
    [
        ("no-update", 0.0, 0.0, 3, 0),
        ("passage-only", 8.3333, 8.3333, 3, 0),
        ("passage-only-equal-steps", 25.0, 0.0, 3, 0),
        ("heldout-v0", 25.0, 7.21688, 3, 6),
        ("heldout-v2", 79.16667, 11.02396, 3, 6),
        ("scripted", 100.0, 0.0, 3, 3),
        ("retention-v0", 100.0, 0.0, 4, 0),
        ("retention-v2", 75.0, 25.0, 4, 0),
    ],
)
def test_means_are_taken_over_contexts_first(
    complete_run: Builder, summary_of: Summarise, key: str, mean: float, stderr: float, contexts: int, edits: int
) -> None:
    row = summary_of(complete_run).row(key)
    assert row is not None
    assert row.mean_percent == pytest.approx(mean, abs=1e-4)
    assert row.stderr_percent == pytest.approx(stderr, abs=1e-4)
    assert (row.num_contexts, row.num_edits, row.num_invalid, row.num_missing) == (contexts, edits, 0, 0)


def test_paired_gain_and_steps_share(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    gain = summary.gain
    assert gain is not None
    assert (gain.first_version, gain.last_version, gain.num_contexts) == (0, 2, 3)
    assert gain.gain_percent == pytest.approx(54.16667, abs=1e-4)
    assert gain.stderr_percent == pytest.approx(4.16667, abs=1e-4)
    assert gain.t_statistic == pytest.approx(13.0)
    # With two degrees of freedom p = 1 - t / sqrt(2 + t^2).
    assert gain.p_value == pytest.approx(1 - 13 / 171**0.5)
    assert summary.steps_share == pytest.approx(4 / 17)


def test_rounds_carry_rewards_best_of_m_and_distinct_edits(complete_run: Builder, summary_of: Summarise) -> None:
    first, second = summary_of(complete_run).rounds
    assert (first.round, first.policy_version, second.policy_version) == (1, 0, 1)
    assert (first.mean_reward, first.stderr_reward, first.best_reward) == pytest.approx((0.375, 0.0, 0.625))
    assert (second.mean_reward, second.stderr_reward, second.best_reward) == pytest.approx((0.8125, 0.0625, 1.0))
    assert first.rewards == (0.0, 0.25, 0.5, 0.75)
    assert (first.num_edits, first.num_unparsed, first.num_invalid, first.distinct_share) == (4, 0, 0, 1.0)
    # Two proposals of 1 s and four edits of 3 s, one after the other: 4 edits in 14 s.
    assert first.edits_per_hour == pytest.approx(4 * 3600 / 14)


def test_best_and_worst_edit_come_with_answers_and_ties_go_to_the_first(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    assert summary.best is not None
    assert summary.worst is not None
    assert (summary.best.edit_id, summary.best.reward, summary.best.chosen) == ("round-2/c0/e1", 1.0, True)
    assert (summary.worst.edit_id, summary.worst.reward, summary.worst.chosen) == ("round-1/c1/e0", 0.0, False)
    assert summary.best.text == "edit 2 c0 1"
    assert [(v.answer, v.gold, v.score) for v in summary.worst.verdicts] == [("dross", ("gold",), 0.0)] * 4


def test_unparsed_edits_count_as_zero(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["BROKEN", "fine"])
    builder.grade("round-1", "c0", 1, 4)
    (only,) = summary_of(builder).rounds
    assert (only.mean_reward, only.num_edits, only.num_unparsed, only.num_missing) == (0.5, 2, 1, 2)


def test_set_aside_edits_are_counted_and_not_averaged(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("heldout-v0", "h0", ["a", "b"])
    builder.grade("heldout-v0", "h0", 0, 4)
    builder.set_aside("heldout-v0/h0/e1/r0/adapt")
    builder.set_aside("heldout-v0/h1/propose")
    row = summary_of(builder).row("heldout-v0")
    assert row is not None
    assert (row.mean_percent, row.num_contexts, row.num_edits, row.num_invalid, row.num_missing) == (100.0, 1, 1, 3, 2)
    assert row.note == "3 set aside, not in the mean; 2 not measured"
    assert row.stderr_percent is None


def test_a_replicate_set_aside_leaves_the_others_standing(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["a"])
    builder.grade("round-1", "c0", 0, 2, replicate=0)
    builder.grade("round-1", "c0", 0, 4, replicate=1)
    builder.set_aside("round-1/c0/e0/r2/evaluate")
    summary = summary_of(builder)
    assert (summary.rounds[0].mean_reward, summary.rounds[0].num_invalid) == (0.75, 0)
    assert summary.best is not None
    assert summary.best.replicate_rewards == (0.5, 1.0)


def test_worst_edit_prefers_one_with_answers_to_show(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["BROKEN", "fine"])
    builder.grade("round-1", "c0", 1, 0)
    worst = summary_of(builder).worst
    assert worst is not None
    assert worst.edit_id == "round-1/c0/e1"


def test_an_empty_ledger_is_a_summary_without_figures(builder: Builder, summary_of: Summarise) -> None:
    summary = summary_of(builder)
    assert [row.mean_percent for row in summary.table] == [None] * len(summary.table)
    assert (summary.gain, summary.steps_share, summary.best, summary.rounds, summary.agents) == (None, None, None, (), ())


def test_agents_are_charged_the_union_of_their_jobs(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["a", "b"], seconds=10.0)
    builder.clock = 1005.0
    builder.propose("round-1", "c1", ["a", "b"], seconds=10.0)
    builder.grade("round-1", "c0", 0, 4)
    shares = {share.agent: share for share in summary_of(builder).agents}
    # 1000-1010 and 1005-1015 overlap; the run ends at 1018 after 2 s of training and 1 s of answering.
    assert shares["proposer-0"].busy_seconds == {"propose": pytest.approx(15.0)}
    assert shares["proposer-0"].present_seconds == pytest.approx(18.0)
    assert shares["proposer-0"].busy_share == pytest.approx(15 / 18)
    assert shares["trainer-0"].num_jobs == 1


def test_an_agent_without_work_is_listed(builder: Builder, summary_of: Summarise) -> None:
    builder.grade("no-update", "h0", 0, 1, adapt=False)
    builder.joined("trainer-1", "trainer")
    idle = next(share for share in summary_of(builder).agents if share.agent == "trainer-1")
    assert (idle.num_jobs, idle.busy_share) == (0, 0.0)


def test_control_rows_and_gain_stand_beside_the_run(complete_run: Builder, tmp_path: Path) -> None:
    records = complete_run.load(tmp_path / "a.sqlite")
    control_topology = complete_run.topology(algorithm={"contexts_per_round": 2, "edits_per_context": 2, "select": "random"})
    control = complete_run.load(tmp_path / "b.sqlite", control_topology)
    summary = summarise(records, control)
    assert [row.label for row in summary.table if row.group == "control"] == [
        "control (random edits), untrained",
        "control (random edits), after round 2",
    ]
    assert summary.control_gain == summary.gain
    assert summary.row("heldout-v0") is not summary.row("control:heldout-v0")


def test_policies_show_their_lineage_and_score(complete_run: Builder, summary_of: Summarise) -> None:
    policies = summary_of(complete_run).policies
    assert [(p.version, p.parent, p.num_chosen) for p in policies] == [(0, None, 0), (1, 0, 2), (2, 1, 2)]
    assert policies[2].heldout_percent == pytest.approx(79.16667, abs=1e-4)


def test_turned_off_measurements_have_no_row(complete_run: Builder, tmp_path: Path) -> None:
    topology = complete_run.topology(evaluation={"num_contexts": 3, "edits_per_context": 2, "baselines": False, "retention": False})
    summary = summarise(complete_run.load(tmp_path / "ledger.sqlite", topology))
    assert [row.key for row in summary.table] == ["heldout-v0", "heldout-v1", "heldout-v2"]
    assert summary.steps_share is None


def test_summary_is_json(complete_run: Builder, summary_of: Summarise) -> None:
    data = json.loads(summary_of(complete_run).to_json())
    assert data["identity"]["seed"] == 7
    assert data["table"][3]["mean_percent"] == pytest.approx(25.0)


def test_a_run_directory_is_read_from_disk(builder: Builder, tmp_path: Path) -> None:
    paths = RunDirectory(tmp_path / "run")
    paths.create()
    builder.write(paths.ledger)
    paths.topology.write_text(dump_topology(builder.topology()))
    summary = summarise_run(paths.root)
    assert (summary.identity.run, summary.identity.phase, summary.identity.run_id) == ("tiny", "done", "tiny-1")
    assert "edits_per_context: 2" in summary.topology_yaml


def test_a_folder_without_ledger_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"expected a ledger"):
        summarise_run(tmp_path)
