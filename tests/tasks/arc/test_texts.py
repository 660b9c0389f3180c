"""Texts of grids and requests, letter for letter, and reading an answer as forgivingly as the published code."""

import numpy as np
import pytest
from arc_files import CALM, grids
from hypothesis import given
from hypothesis import strategies as st

from protocol.prompts import SYSTEM_MARK, plain_prompt, split_system
from seal_runtime.tasks.arc.grids import Example, Grid, Puzzle, grid_text, parse_grid
from seal_runtime.tasks.arc.prompts import answer_text, edit_prompt, parse_answer, puzzle_chars, puzzle_prompt, puzzle_sequence

SHOWN = Example(input=((1, 2), (3, 4)), output=((5, 6, 7),))


@given(grid=grids(30))
@CALM
def test_a_grids_text_is_numpys_and_is_read_back(grid: Grid) -> None:
    assert grid_text(grid) == str(np.array(grid))
    assert parse_grid(grid_text(grid)) == grid
    assert parse_answer(f" {answer_text(grid)} and more [[1]]") == grid


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("1 2\n3 4", ((1, 2), (3, 4))),
        ("[[1  2]\n [3  4]]", ((1, 2), (3, 4))),
        ("[[1 2 3]\n [4]]", ((1, 2), (3, 4))),
        ("[[1 2]\n [3]]", None),
        ("", None),
        ("[[]]", None),
        ("[[1 x]]", None),
        ("[[12 3]]", None),
        ("[[-1]]", None),
        ("[[\u0661]]", None),
        ("\n".join(["0"] * 31), None),
        (" ".join(["0"] * 31), None),
    ],
)
def test_what_counts_as_a_grid(text: str, grid: Grid | None) -> None:
    assert parse_grid(text) == grid


@given(text=st.text(max_size=60))
@CALM
def test_any_answer_is_read_without_an_error(text: str) -> None:
    parse_answer(text)


def test_the_request_for_an_output() -> None:
    system, user = split_system(puzzle_prompt([SHOWN], ((8,), (9,))))
    assert system == (
        "Figure out the underlying transformation in the following examples and apply it to the test case. "
        "Here are some examples from this transformation, your answer must follow the format.\n"
        "The input-output grids are provided as python arrays:\n"
        "[[1 2]\n [3 4]] -> [[5 6 7]]#\n"
    )
    assert user == "[[8]\n [9]] -> "
    assert answer_text(((1, 2),)) == "[[1 2]]#"


def test_the_request_for_a_self_edit() -> None:
    system, user = split_system(edit_prompt([SHOWN, SHOWN]))
    assert system.startswith("You are a helpful assistant that provide the correct output")
    demonstration = "Input:\n1 2\n3 4\n\nOutput:\n5 6 7\n\n"
    assert user.startswith(2 * demonstration + "------\n\n\nYou are configuring a model training pipeline")
    assert user.endswith('    "num_train_epochs": ...\n  }\n}\n')


@given(demonstrations=st.lists(st.builds(Example, input=grids(), output=grids()), max_size=3), asked=grids(), output=grids())
@CALM
def test_the_length_of_a_training_text_is_known_without_writing_it(demonstrations: list[Example], asked: Grid, output: Grid) -> None:
    puzzle = Puzzle(demonstrations=tuple(demonstrations), asked=Example(input=asked, output=output))
    sequence = puzzle_sequence(puzzle, loss_on_prompt=True)
    assert puzzle_chars(puzzle) == len(sequence.prompt) + len(sequence.completion)
    assert sequence.loss_on_prompt


def test_a_prompt_without_instructions_is_the_request_alone() -> None:
    assert split_system(f"a {SYSTEM_MARK} b") == ("", f"a {SYSTEM_MARK} b")
    assert plain_prompt(puzzle_prompt([], ((1,),))).endswith("python arrays:\n[[1]] -> ")
    assert SYSTEM_MARK not in plain_prompt(edit_prompt([SHOWN]))
