"""Figures of continual self-edits: what a model knows of K passages while it learns one after the other.

    a[k, j] = accuracy on passage j after k edits, k = 0 .. K        forgetting = mean over j of (a[j, j] - a[K, j]), j = 1 .. K

Each sequence gives one (K + 1) x K matrix. Means and spreads are over sequences, which share no passage; a cell that was not measured
is in no mean. The last passage has no time to be forgotten and is left out of the forgetting figure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seal_runtime.algorithms.statistics import mean, standard_deviation, standard_error

Cells = Sequence[Sequence[float | None]]
"""The matrix of one sequence: a row for every number of edits from 0 on, a column for each passage; None: not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean over `num` sequences with its standard deviation and standard error; None where there are too few."""

    mean: float | None
    deviation: float | None
    stderr: float | None
    num: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinualFigures:
    """Figures over all sequences. `cells[k][j]` is a cell of the matrix; `seen[k]`, `unseen[k]` are over the passages learned after k
    edits and over those still to come; `overall[k]` is over all. A sequence counts in these only with every cell that they are made of.
    """

    cells: tuple[tuple[Spread, ...], ...]
    seen: tuple[Spread, ...]
    unseen: tuple[Spread, ...]
    overall: tuple[Spread, ...]
    forgetting: Spread
    num_sequences: int
    num_missing: int

    @property
    def length(self) -> int:
        """Return K."""
        return len(self.cells) - 1


def continual_figures(sequences: Sequence[Cells]) -> ContinualFigures:
    """Return the figures of at least one sequence; all are of one length."""
    length = len(sequences[0]) - 1
    rows = range(length + 1)

    def over(figure: Callable[[Cells], float | None]) -> Spread:
        return spread([value for cells in sequences if (value := figure(cells)) is not None])

    return ContinualFigures(
        cells=tuple(tuple(over(lambda cells, k=k, j=j: cells[k][j]) for j in range(length)) for k in rows),  # type: ignore[misc]
        seen=tuple(over(lambda cells, k=k: _whole_mean(cells[k][:k])) for k in rows),  # type: ignore[misc]
        unseen=tuple(over(lambda cells, k=k: _whole_mean(cells[k][k:])) for k in rows),  # type: ignore[misc]
        overall=tuple(over(lambda cells, k=k: _whole_mean(cells[k])) for k in rows),  # type: ignore[misc]
        forgetting=over(forgetting_of),
        num_sequences=len(sequences),
        num_missing=sum(value is None for cells in sequences for row in cells for value in row),
    )


def forgetting_of(cells: Cells) -> float | None:
    """Return by how much the accuracy on a passage falls from right after its edit to the end, on average; None without every cell."""
    length = len(cells) - 1
    falls = [None if (then := cells[j + 1][j]) is None or (now := cells[length][j]) is None else then - now for j in range(length - 1)]
    return _whole_mean(falls)


def spread(values: Sequence[float]) -> Spread:
    """Return mean, deviation and standard error of the values there are."""
    return Spread(
        mean=mean(values) if values else None,
        deviation=standard_deviation(values) if len(values) > 1 else None,
        stderr=standard_error(values),
        num=len(values),
    )


def _whole_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean when every value is there: one over fewer passages would be of another kind."""
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None
