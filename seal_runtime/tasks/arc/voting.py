"""Two attempts from many answers to one test input (the published code's hierarchical vote).

Each augmentation nominates up to three grids, and so do all answers together: its most common ones, filled up with the grid of the most
common rows and that of the most common columns. The two grids that are nominated most often are the attempts. Of a second and a third
with as many nominations the one that more unaugmented answers gave is taken, else the second. Counts that are equal keep the order of the
answers (the published code's order of equals is that of a Python process's hashes).
"""

from collections import Counter
from collections.abc import Sequence

from seal_runtime.tasks.arc.augmentations import transpose
from seal_runtime.tasks.arc.grids import Grid

Answered = tuple[str, Grid]
"""The augmentation that a test input was asked under, and the answer turned back."""


def two_attempts(answers: Sequence[Answered]) -> tuple[Grid, ...]:
    """Return at most two different grids; none without answers."""
    categories = dict.fromkeys(name for name, _ in answers)
    nominated = _three_of([grid for _, grid in answers])
    for category in categories:
        nominated += _three_of([grid for name, grid in answers if name == category])
    finalists = _three_of(nominated)
    if len(finalists) < 3:
        return tuple(finalists[:2])
    first, second, third = finalists
    plain = [grid for name, grid in answers if name == "identity"]
    is_level = nominated.count(second) == nominated.count(third)
    return first, third if is_level and plain.count(third) > plain.count(second) else second


def _three_of(grids: Sequence[Grid]) -> list[Grid]:
    """Return up to three different grids: the most common, then those of the most common rows and columns."""
    if not grids:
        return []
    common = [grid for grid, _ in Counter(grids).most_common(3)]
    return list(dict.fromkeys([*common, by_rows(grids), by_columns(grids)]))[:3]


def by_rows(grids: Sequence[Grid]) -> Grid:
    """Return the grid of the most common shape whose every row is the most common one at its place."""
    (num_rows, num_columns), _ = Counter((len(grid), len(grid[0])) for grid in grids).most_common(1)[0]
    rows = []
    for index in range(num_rows):
        there = [grid[index] for grid in grids if len(grid) > index and len(grid[index]) == num_columns]
        rows.append(Counter(there).most_common(1)[0][0])
    return tuple(rows)


def by_columns(grids: Sequence[Grid]) -> Grid:
    """Return the grid of the most common shape whose every column is the most common one at its place."""
    return transpose(by_rows([transpose(grid) for grid in grids]))
