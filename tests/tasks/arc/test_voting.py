"""The hierarchical vote, on hand-counted answers."""

import pytest
from arc_files import CALM, grids
from hypothesis import given
from hypothesis import strategies as st

from seal_runtime.tasks.arc.augmentations import INVERTIBLE
from seal_runtime.tasks.arc.grids import Grid
from seal_runtime.tasks.arc.voting import Answered, by_columns, by_rows, two_attempts

A: Grid = ((1, 1), (1, 1))
B: Grid = ((2, 2), (2, 2))
C: Grid = ((3, 3), (3, 3))


def test_without_answers_there_is_no_attempt() -> None:
    assert two_attempts([]) == ()


def test_one_answer_is_the_only_attempt() -> None:
    assert two_attempts([("identity", A)] * 3) == (A,)


def test_the_most_common_answers_are_the_attempts() -> None:
    answers: list[Answered] = [("identity", C), ("identity", A), ("identity", A), ("transpose", A), ("transpose", B), ("flip-rows", B)]
    # all: A, B, C; identity: A, C, A (its rows and columns); transpose: A, B, A; flip-rows: B, B, B. So A 5, B 5, C 2.
    assert two_attempts(answers) == (A, B)


def test_an_answer_that_many_augmentations_give_beats_one_that_one_of_them_repeats() -> None:
    answers: list[Answered] = [("transpose", B)] * 3 + [("identity", A), ("flip-rows", A), ("rotate-90", A)]
    assert two_attempts(answers)[0] == A


@pytest.mark.parametrize(("name", "second"), [("identity", C), ("flip-rows", B)])
def test_of_level_finalists_the_one_of_unaugmented_answers_is_the_second(name: str, second: Grid) -> None:
    answers: list[Answered] = [("transpose", A), ("transpose", B), (name, A), (name, C)]
    # all: A, B, C; transpose: A, B, A; the other: A, C, A. So A 5, B 2, C 2.
    assert two_attempts(answers) == (A, second)


def test_the_grid_of_the_most_common_rows_and_columns() -> None:
    answers: list[Grid] = [((1, 2), (3, 4)), ((1, 2), (9, 9)), ((7, 7), (3, 4)), ((5, 5, 5),)]
    assert by_rows(answers) == ((1, 2), (3, 4))
    columns: list[Grid] = [((1, 2), (3, 4)), ((1, 9), (3, 9)), ((7, 2), (7, 4))]
    assert by_columns(columns) == ((1, 2), (3, 4))


@given(answers=st.lists(st.tuples(st.sampled_from(list(INVERTIBLE)), grids(3)), max_size=12))
@CALM
def test_attempts_are_two_at_most_and_different(answers: list[Answered]) -> None:
    attempts = two_attempts(answers)
    assert len(attempts) <= 2
    assert len(set(attempts)) == len(attempts)
    assert bool(attempts) == bool(answers)
