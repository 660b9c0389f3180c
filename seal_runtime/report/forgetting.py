"""What each policy version knows: its own edits on held-out contexts, and the facts that the base model knew, kept or lost.

The matrix has a line for each version that was measured in any way; it is there only when facts known before were asked again.
Passages that are learned one after the other have matrices of their own (`report.continual`).
"""

from collections.abc import Mapping

from seal_runtime.algorithms.statistics import mean
from seal_runtime.report.gather import Gathered, StudyRecord
from seal_runtime.report.measures import context_means
from seal_runtime.report.model import Matrix, MatrixRow

KEPT_SCORE = 0.5
"""A question counts as known from this grade on."""


def retention_matrix(gathered: Gathered) -> tuple[Matrix, ...]:
    """Return held-out and known-fact scores by policy version; nothing unless known facts were asked of two versions."""
    facts = {version: scores for version, study in _versions(gathered, "retention-v").items() if (scores := _scores(study))}
    heldout = {version: means for version, study in _versions(gathered, "heldout-v").items() if (means := context_means(study))}
    if len(facts) < 2:
        return ()
    rows = tuple(
        MatrixRow(
            label=f"v{version}",
            cells=(_percent(list(heldout.get(version, {}).values())), _percent(list(facts.get(version, {}).values()))),
            stderrs=(),
            marked=None,
        )
        for version in sorted({*facts, *heldout})
    )
    first = min(facts)
    notes = tuple(_note(facts[first], facts[version], version) for version in sorted(facts) if version != first)
    columns = ("held-out, own edits", "known facts")
    return (Matrix(title="Learned and forgotten, by policy version", corner="policy", columns=columns, rows=rows, notes=notes),)


def _versions(gathered: Gathered, prefix: str) -> dict[int, StudyRecord]:
    return {
        int(name.removeprefix(prefix)): study
        for name, study in gathered.studies.items()
        if name.startswith(prefix) and name.removeprefix(prefix).isdigit()
    }


def _scores(study: StudyRecord) -> dict[str, float]:
    return {answer.question_id: answer.score for edit in study.edits.values() for answer in edit.answers}


def _percent(scores: list[float]) -> float | None:
    return 100 * mean(scores) if scores else None


def _note(before: Mapping[str, float], after: Mapping[str, float], version: int) -> str:
    known = {question for question, score in before.items() if score >= KEPT_SCORE and question in after}
    lost = sum(after[question] < KEPT_SCORE for question in known)
    gained = sum(after[question] >= KEPT_SCORE for question in before if question in after and question not in known)
    return f"v{version}: {lost} of {len(known)} known facts lost, {gained} learned by the way."
