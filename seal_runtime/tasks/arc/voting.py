"""Two attempts from many answers to one test input (the published code's hierarchical vote).

Each augmentation nominates three grids, and so do all answers together: its most common ones, filled up with the grid of the most common
rows or else that of the most common columns, even if that is nominated already; so an augmentation whose answers agree has three votes
for them. The two grids with most nominations are the attempts. Where the second and the third are level, the second needs more unaugmented
answers than the third; without any unaugmented answer it stays. Counts that are equal keep the order of the answers (the published code's
order of equals is that of a Python process's hashes).
"""

from collections import Counter
from collections.abc import Sequence

from seal_runtime.tasks.arc.augmentations import transpose
from seal_runtime.tasks.arc.grids import Grid

Answered = tuple[str, Grid]
"""The augmentation that a test input was asked under, and the answer turned back."""


def two_attempts(answers: Sequence[Answered]) -> tuple[Grid, ...]:
    """Return at most two different grids; none without answers."""
    if not answers:
        return ()
    nominated = [*_three_of([grid for _, grid in answers])]
    for category in dict.fromkeys(name for name, _ in answers):
        nominated += _three_of([grid for name, grid in answers if name == category])
    first, second, third = _three_of(nominated)
    plain = [grid for name, grid in answers if name == "identity"]
    if plain and nominated.count(second) == nominated.count(third) and plain.count(second) <= plain.count(third):
        second = third
    return tuple(dict.fromkeys((first, second)))


def _three_of(grids: Sequence[Grid]) -> tuple[Grid, Grid, Grid]:
    """Return the three most common of at least one grid, missing ones filled up by rows or columns."""
    first, *others = [grid for grid, _ in Counter(grids).most_common(3)]
    second = others[0] if others else _fill(grids, (first,))
    third = others[1] if len(others) > 1 else _fill(grids, (first, second))
    return first, second, third


def _fill(grids: Sequence[Grid], taken: Sequence[Grid]) -> Grid:
    rows = by_rows(grids)
    return rows if rows not in taken else by_columns(grids)


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
