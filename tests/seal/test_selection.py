"""The SFT set: rank, ties, order and text as the reference's build step has them."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from result_files import article, completion, results

from seal_runtime.seal.results import Results
from seal_runtime.seal.selection import best_indices, select_best, sft_file_name, sft_text


def chosen(completions: list[dict[str, object]], k: int = 1) -> list[str]:
    return [row.completion for row in select_best(Results.model_validate(results([article("A", completions)])), k)]


def test_the_highest_accuracy_wins_and_ties_go_to_the_lowest_index() -> None:
    edits = [completion("first", 0.4), completion("second", 0.6), completion("third", 0.6), completion("fourth", 0.2)]
    assert chosen(edits) == ["second"]
    assert chosen(edits, k=3) == ["second", "third", "first"]
    assert chosen(edits, k=9) == ["second", "third", "first", "fourth"]


def test_the_accuracy_counts_and_not_the_gain_and_it_may_be_zero() -> None:
    assert chosen([completion("large gain", 0.4, base=0.0), completion("high", 0.5, base=0.9)]) == ["high"]
    assert chosen([completion("nothing", 0.0), completion("learned", 0.0)]) == ["nothing"]


def test_an_empty_winner_is_dropped_and_not_replaced() -> None:
    assert chosen([completion(" \n", 0.9), completion("text", 0.1)]) == []


def test_rows_are_json_lines_in_the_order_of_the_articles() -> None:
    file = Results.model_validate(results([article("Zürich", [completion("  so ist es \n", 0.5)]), article("A", [completion("b", 1.0)])]))
    text = sft_text(select_best(file, 1))
    assert text == '{"prompt": "Zürich – prompt\\n", "completion": "so ist es"}\n{"prompt": "A – prompt\\n", "completion": "b"}\n'
    assert sft_file_name(file, 1) == "sft_best1of1_0508_015401.jsonl"
    assert [json.loads(line)["completion"] for line in text.splitlines()] == ["so ist es", "b"]


@given(means=st.lists(st.sampled_from([0.0, 0.2, 1 / 3, 0.2 + 1e-9]), min_size=1, max_size=8), k=st.integers(1, 9))
def test_the_best_are_those_of_a_plain_search(means: list[float], k: int) -> None:
    file = Results.model_validate(results([article("A", [completion(str(index), mean) for index, mean in enumerate(means)])]))
    left, wanted = list(range(len(means))), []
    while left and len(wanted) < k:
        best = min(left, key=lambda index: (-means[index], index))
        left.remove(best)
        wanted.append(best)
    assert best_indices(file.articles[0], k) == wanted


@pytest.mark.parametrize("k", [1, 2])
def test_nothing_comes_from_an_article_without_edits(k: int) -> None:
    assert chosen([], k) == []
