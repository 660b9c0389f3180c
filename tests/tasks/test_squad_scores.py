"""SQuAD's official scores, by hand."""

import pytest

from seal_runtime.tasks.squad_scores import exact_match, f1


@pytest.mark.parametrize(
    ("answer", "golds", "em", "expected_f1"),
    [
        ("The Denver Broncos.", ("Denver Broncos",), 1.0, 1.0),
        ("Denver", ("Denver Broncos",), 0.0, 2 / 3),  # precision 1, recall 1/2
        ("It was the Denver Broncos", ("Denver Broncos",), 0.0, 2 / 3),  # 2 of 4 tokens, recall 1: 2*.5/1.5
        ("Carolina Panthers", ("Denver Broncos",), 0.0, 0.0),
        ("Panthers", ("Denver Broncos", "the Panthers"), 1.0, 1.0),  # the best gold answer counts
        ("Denver Panthers", ("Denver Broncos", "Panthers of Carolina"), 0.0, 0.5),  # 1/2, and 2*(1/2)(1/3)/(5/6) = 0.4
        ("new new york", ("new york new york",), 0.0, 6 / 7),  # repeated tokens count: 3 of 3, 3 of 4
        ("1945", ("5",), 0.0, 0.0),
        ("", ("Denver",), 0.0, 0.0),
        ("", ("the",), 1.0, 0.0),  # the script: equal after normalisation, but no token is the same
        ("24–10", ("24-10",), 0.0, 0.0),  # only ASCII punctuation is dropped
        ("x", (), 0.0, 0.0),
    ],
)
def test_scores(answer: str, golds: tuple[str, ...], em: float, expected_f1: float) -> None:
    assert exact_match(answer, golds) == em
    assert f1(answer, golds) == pytest.approx(expected_f1)
