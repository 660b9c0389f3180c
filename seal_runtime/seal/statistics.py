"""The statistics of a result file, by the reference's formulas: sample standard deviations, 0 for one value, four places.

Means of articles are means over their self-edits; overall means are means over articles. Values are rounded only where they are
written, as the reference does, so a recomputation agrees with its files to the last digit.
"""

import statistics
from collections.abc import Sequence

from seal_runtime.errors import DataError
from seal_runtime.seal.results import AnswerRecord, Article, ArticleStats, Completion, CompletionStats, OverallStats

PLACES = 4


def completion_stats(answers: Sequence[AnswerRecord]) -> CompletionStats:
    """Return the statistics of one self-edit from the verdicts of its replicates; at least one answer is needed."""
    by_replicate: dict[int, list[AnswerRecord]] = {}
    for answer in answers:
        by_replicate.setdefault(answer.rep, []).append(answer)
    replicates = list(by_replicate.values())
    adapted = [statistics.mean(float(answer.adapter_correct) for answer in group) for group in replicates]
    base = [_baseline_accuracy(group) for group in replicates]
    known = [value for value in base if value is not None]
    measured = len(known) == len(base)
    return CompletionStats(
        baseline_mean=statistics.mean(known) if measured else None,
        baseline_std=_deviation(known) if measured else None,
        adapter_mean=statistics.mean(adapted),
        adapter_std=_deviation(adapted),
        gain_mean=statistics.mean(after - before for after, before in zip(adapted, known, strict=True)) if measured else None,
    )


def article_stats(completions: Sequence[Completion]) -> ArticleStats:
    """Return the statistics of an article from those of its self-edits; at least one is needed."""
    adapted = [completion.stats.adapter_mean for completion in completions]
    return ArticleStats(
        baseline_accuracy=_rounded(_mean([completion.stats.baseline_mean for completion in completions])),
        adapter_mean_accuracy=round(statistics.mean(adapted), PLACES),
        adapter_std_over_completions=round(_deviation(adapted), PLACES),
        mean_adapter_std_within_completions=_rounded(_mean([completion.stats.adapter_std for completion in completions])),
        mean_gain=_rounded(_mean([completion.stats.gain_mean for completion in completions])),
    )


def overall_stats(articles: Sequence[Article]) -> OverallStats:
    """Return the overall block. Raises DataError for no articles and for an article without self-edits."""
    if not articles:
        raise DataError("expected at least one article to compute statistics of, got none")
    for number, article in enumerate(articles):
        if not article.completions:
            raise DataError(f"article {number} ({article.title!r}): expected at least one completion, got none")
    adapted = [statistics.mean(completion.stats.adapter_mean for completion in article.completions) for article in articles]
    base = [_mean([completion.stats.baseline_mean for completion in article.completions]) for article in articles]
    known = [value for value in base if value is not None]
    measured = len(known) == len(base)
    over = [_deviation([completion.stats.adapter_mean for completion in article.completions]) for article in articles]
    within = [completion.stats.adapter_std for article in articles for completion in article.completions]
    return OverallStats(
        baseline_mean_accuracy=round(statistics.mean(known), PLACES) if measured else None,
        baseline_std_of_article_means=round(_deviation(known), PLACES) if measured else None,
        adapter_mean_accuracy=round(statistics.mean(adapted), PLACES),
        adapter_std_of_article_means=round(_deviation(adapted), PLACES),
        mean_adapter_std_over_completions=round(statistics.mean(over), PLACES),
        mean_adapter_std_within_completions=_rounded(_mean(within)),
        mean_gain=round(statistics.mean(adapted) - statistics.mean(known), PLACES) if measured else None,
    )


def _baseline_accuracy(answers: Sequence[AnswerRecord]) -> float | None:
    return _mean([None if answer.baseline_correct is None else float(answer.baseline_correct) for answer in answers])


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, None when one of the values was not measured."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if len(known) == len(values) else None


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, PLACES)
