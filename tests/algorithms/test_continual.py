"""Figures of continual self-edits, by hand."""

import pytest

from seal_runtime.algorithms.continual import continual_figures, forgetting_of

FIRST = [[0.0, 0.25], [0.75, 0.25], [0.25, 1.0]]
SECOND = [[0.5, 0.25], [1.0, 0.75], [1.0, 0.5]]


def test_means_and_errors_are_over_sequences() -> None:
    figures = continual_figures([FIRST, SECOND])
    assert figures.length == 2
    assert [[cell.mean for cell in row] for row in figures.cells] == [[0.25, 0.25], [0.875, 0.5], [0.625, 0.75]]
    assert figures.cells[0][0].stderr == pytest.approx(0.25)
    assert figures.cells[0][0].deviation == pytest.approx(0.5 / 2**0.5)
    assert [spread.mean for spread in figures.seen] == [None, 0.875, pytest.approx((0.625 + 0.75) / 2)]
    assert [spread.mean for spread in figures.unseen] == [0.25, 0.5, None]
    assert [spread.mean for spread in figures.overall] == [0.25, pytest.approx((0.5 + 0.875) / 2), pytest.approx((0.625 + 0.75) / 2)]


def test_forgetting_is_the_fall_from_right_after_the_edit_to_the_end_without_the_last_passage() -> None:
    assert forgetting_of(FIRST) == 0.75 - 0.25
    assert forgetting_of(SECOND) == 0.0
    figures = continual_figures([FIRST, SECOND])
    assert (figures.forgetting.mean, figures.forgetting.num) == (0.25, 2)
    assert figures.forgetting.stderr == pytest.approx(0.25)


def test_what_was_not_measured_is_in_no_mean() -> None:
    ended_early: list[list[float | None]] = [[0.0, 0.5], [1.0, 0.5], [None, None]]
    figures = continual_figures([FIRST, ended_early])
    assert figures.num_missing == 2
    assert (figures.cells[2][0].mean, figures.cells[2][0].num, figures.cells[2][0].stderr) == (0.25, 1, None)
    assert (figures.cells[1][0].mean, figures.cells[1][0].num) == (0.875, 2)
    assert (figures.forgetting.mean, figures.forgetting.num) == (0.5, 1)
    assert figures.overall[2].num == 1


def test_a_mean_over_fewer_passages_than_the_others_does_not_count() -> None:
    with_hole: list[list[float | None]] = [[0.0, 0.5], [1.0, None], [0.5, 0.5]]
    figures = continual_figures([with_hole])
    assert figures.overall[1].mean is None
    assert figures.seen[1].mean == 1.0
    assert figures.forgetting.mean == 0.5
