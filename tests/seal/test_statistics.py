"""The statistics of result files, by hand."""

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from result_files import answer, article, completion, results

from seal_runtime.errors import DataError
from seal_runtime.seal.results import AnswerRecord, Results
from seal_runtime.seal.statistics import article_stats, completion_stats, overall_stats


def records(*answers: dict[str, object]) -> list[AnswerRecord]:
    return [AnswerRecord.model_validate(item) for item in answers]


def test_a_self_edits_statistics_come_from_its_replicates() -> None:
    first = (answer(0, "a", False, True), answer(0, "b", True, True))
    second = (answer(1, "a", False, False), answer(1, "b", True, True))
    stats = completion_stats(records(*first, *second))
    assert (stats.baseline_mean, stats.baseline_std) == (0.5, 0.0)
    assert stats.adapter_mean == 0.75
    assert stats.adapter_std == pytest.approx(math.sqrt(0.125))  # 1.0 and 0.5: sample deviation
    assert stats.gain_mean == 0.25
    assert completion_stats(records(*first)).adapter_std == 0.0


def test_a_baseline_that_was_not_measured_stays_unknown() -> None:
    item = answer(0, "a", False, True) | {"baseline_answer": None, "baseline_correct": None}
    stats = completion_stats(records(item))
    assert (stats.baseline_mean, stats.baseline_std, stats.gain_mean) == (None, None, None)
    assert stats.adapter_mean == 1.0


def test_articles_and_the_whole_file() -> None:
    one = article("A", [completion("x", 0.2, std=0.1), completion("y", 0.6, std=0.3)])  # mean 0.4, deviation 0.28284
    two = article("B", [completion("z", 0.9, std=0.0, base=0.5)])
    file = Results.model_validate(results([one, two]))
    stats = article_stats(file.articles[0].completions)
    assert stats.adapter_mean_accuracy == 0.4
    assert stats.adapter_std_over_completions == 0.2828
    assert stats.mean_adapter_std_within_completions == 0.2
    assert stats.mean_gain == 0.15
    overall = overall_stats(file.articles)
    assert overall.baseline_mean_accuracy == 0.375
    assert overall.baseline_std_of_article_means == 0.1768  # 0.25 and 0.5
    assert overall.adapter_mean_accuracy == 0.65
    assert overall.adapter_std_of_article_means == 0.3536  # 0.4 and 0.9
    assert overall.mean_adapter_std_over_completions == 0.1414  # 0.28284 and 0
    assert overall.mean_adapter_std_within_completions == 0.1333  # 0.1, 0.3 and 0
    assert overall.mean_gain == 0.275


def test_nothing_to_compute_from_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one article"):
        overall_stats([])
    with pytest.raises(DataError, match=r"article 0 .*'A'"):
        overall_stats(Results.model_validate(results([article("A", [])])).articles)
