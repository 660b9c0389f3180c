"""Grading by text: SQuAD's normalisation, containment and equality."""

import pytest

from seal_runtime.tasks.grading import grade_text, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Denver   Broncos!", "denver broncos"),
        ("a U.S. president", "us president"),
        ("an apple, the pear", "apple pear"),
        ("Theatre", "theatre"),
        (" \n ", ""),
        ("24–10", "24–10"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "contains", "exact"),
    [
        ("Denver Broncos", "denver broncos", 1.0, 1.0),
        ("The Denver Broncos.", "Denver Broncos", 1.0, 1.0),
        ("It was the Denver Broncos who won.", "Denver Broncos", 1.0, 0.0),
        ("Carolina Panthers", "Denver Broncos", 0.0, 0.0),
        ("", "Denver Broncos", 0.0, 0.0),
        ("  .!", "Denver Broncos", 0.0, 0.0),
        ("in 1945", "5", 0.0, 0.0),
        ("in 1945", "1945", 1.0, 0.0),
        ("1,945 people", "1945", 1.0, 0.0),
        ("the Normans", "Norman", 1.0, 0.0),
        ("c++ is (fun", "fun", 1.0, 0.0),
        ("A", "a", 1.0, 1.0),
        ("grade A it was", "A", 1.0, 0.0),
        ("grade B", "A", 0.0, 0.0),
        ("a.*b", "x", 0.0, 0.0),
    ],
)
def test_grade(answer: str, gold: str, contains: float, exact: float) -> None:
    assert grade_text("contains", answer, (gold,)) == contains
    assert grade_text("exact", answer, (gold,)) == exact


def test_any_gold_answer_will_do() -> None:
    assert grade_text("exact", "Rome", ("Roma", "Rome")) == 1.0
    assert grade_text("contains", "Paris", ("Roma", "Rome")) == 0.0
