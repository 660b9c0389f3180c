"""What changed most, what was forgotten, which alarms a report raises: hand-computed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from seal_runtime.report.alarms import report_alarms
from seal_runtime.report.edits import edits_section
from seal_runtime.report.model import Matrix, MatrixRow, RunSummary

Builder = Any
Summarise = Callable[[Builder], RunSummary]


def test_most_changed_is_the_passage_whose_mean_reward_moved_most(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    change = summary.most_changed
    assert change is not None
    # Round 1: c0 (1, 2), c1 (0, 3) of four right; round 2: c0 (3, 4), c1 (2, 4). c0 goes from 0.375 to 0.875, c1 only to 0.75.
    assert (change.between, change.score_before, change.score_after) == ("rounds", 0.375, 0.875)
    assert (change.before.edit_id, change.after.edit_id) == ("round-1/c0/e0", "round-2/c0/e0")
    assert "37.5 → 87.5 % (+50.0 points)" in edits_section(summary)


def test_a_fall_is_a_change_too_and_the_typical_edit_stands_for_its_round(builder: Builder, summary_of: Summarise) -> None:
    for number, rights in ((1, (4, 4, 2)), (2, (0, 0, 2))):
        builder.propose(f"round-{number}", "c0", ["a", "b", "c"])
        for edit, right in enumerate(rights):
            builder.grade(f"round-{number}", "c0", edit, right)
    change = summary_of(builder).most_changed
    assert change is not None
    assert (change.score_before, change.score_after) == (pytest.approx(10 / 12), pytest.approx(2 / 12))
    assert (change.before.edit_id, change.after.edit_id) == ("round-1/c0/e0", "round-2/c0/e0")


def test_without_a_second_round_the_base_answers_are_the_measure(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["a"])
    builder.grade("round-1", "c0", 0, 1)
    for context_id, base, rights in (("h0", 1, (2, 1)), ("h1", 0, (0, 3))):
        builder.grade("no-update", context_id, 0, base, adapt=False)
        builder.propose("heldout-v0", context_id, ["x", "y"])
        for edit, right in enumerate(rights):
            builder.grade("heldout-v0", context_id, edit, right)
    summary = summary_of(builder)
    change = summary.most_changed
    assert change is not None
    assert (change.between, change.score_before, change.score_after) == ("base", 0.0, 0.75)
    assert (change.before.edit_id, change.after.edit_id) == ("no-update/h1/e0", "heldout-v0/h1/e1")
    assert [verdict.score for verdict in change.before.verdicts] == [0.0] * 4
    assert "0.0 → 75.0 % (+75.0 points) from the answers without any edit" in edits_section(summary)


def test_no_change_is_no_most_changed(builder: Builder, summary_of: Summarise) -> None:
    for number in (1, 2):
        builder.propose(f"round-{number}", "c0", ["a"])
        builder.grade(f"round-{number}", "c0", 0, 2)
    assert summary_of(builder).most_changed is None


def test_best_and_worst_differ_when_all_rewards_are_the_same(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["a", "b", "c"])
    for edit in range(3):
        builder.grade("round-1", "c0", edit, 2)
    summary = summary_of(builder)
    assert summary.best is not None
    assert summary.worst is not None
    assert (summary.best.edit_id, summary.worst.edit_id) == ("round-1/c0/e0", "round-1/c0/e1")
    assert "All self-edits have the same reward, 0.50" in edits_section(summary)


def test_a_single_edit_is_the_best_and_no_worst(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["only"])
    builder.grade("round-1", "c0", 0, 0)
    summary = summary_of(builder)
    assert summary.best is not None
    assert summary.worst is None
    assert "One self-edit has been scored." in edits_section(summary)


def test_the_matrix_holds_every_version_and_counts_what_was_lost(complete_run: Builder, summary_of: Summarise) -> None:
    (matrix,) = summary_of(complete_run).matrices
    assert isinstance(matrix, Matrix)
    assert matrix.columns == ("held-out, own edits", "known facts")
    assert [row.label for row in matrix.rows] == ["v0", "v1", "v2"]
    assert matrix.rows[0] == MatrixRow(label="v0", cells=(pytest.approx(25.0), 100.0), stderrs=(), marked=None)
    assert matrix.rows[1].cells[1] is None
    assert matrix.rows[2].cells == (pytest.approx(79.16667, abs=1e-4), 75.0)
    assert matrix.notes == ("v2: 1 of 4 known facts lost, 0 learned by the way.",)


def test_without_known_facts_there_is_no_matrix(builder: Builder, summary_of: Summarise) -> None:
    builder.grade("retention-v0", "chunk-0", 0, 4, adapt=False)
    assert summary_of(builder).matrices == ()


def test_texts_are_compared_within_a_passage(builder: Builder, summary_of: Summarise) -> None:
    builder.propose("round-1", "c0", ["same", "same "])
    builder.propose("round-1", "c1", ["same", "other"])
    assert summary_of(builder).rounds[0].distinct_share == 0.75


def test_reward_up_and_heldout_down_is_an_alarm_and_unfinished_rounds_do_not_count(complete_run: Builder, summary_of: Summarise) -> None:
    summary = summary_of(complete_run)
    own = [row for row in summary.table if row.group == "own"]
    rounds = [
        dataclasses.replace(summary.rounds[0], round=v + 1, policy_version=v, mean_reward=0.3 + 0.2 * v, num_missing=0) for v in range(3)
    ]
    table = [dataclasses.replace(own[0], policy_version=v, mean_percent=60.0 - 20 * v, stderr_percent=1.0) for v in range(3)]
    (alarm,) = report_alarms(rounds, table, (), {})
    assert alarm.kind == "reward_hacking"
    assert report_alarms([*rounds[:2], dataclasses.replace(rounds[2], num_missing=1)], table, (), {}) == ()
    assert report_alarms(rounds, [*table[:2], dataclasses.replace(table[2], num_missing=1)], (), {}) == ()
