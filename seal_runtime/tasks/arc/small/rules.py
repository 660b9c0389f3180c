"""The rules of the small grids: simple ones, which pretraining shows, and hard ones, which it never does.

A rule maps a grid of two rows and two columns to another. What acts like a simple rule is no hard one, so that the rule of a shipped
puzzle never occurs in the pretraining corpus.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

from seal_runtime.tasks.arc.grids import NUM_COLOURS, Grid

SIDE = 2
BLACK = 0
_DIRECTIONS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}
_MOVE_PROBABILITY = 0.8
# One shift pushes two cells out of the grid; a second would leave too little to see the rule by.
_NUM_KEPT_CELLS = 2
# Pairwise different cells: two rules that move cells are the same when they do the same to these.
PROBE: Grid = tuple(tuple(1 + SIDE * row + column for column in range(SIDE)) for row in range(SIDE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named function of grids."""

    name: str
    apply: Callable[[Grid], Grid]

    def then(self, other: "Rule") -> "Rule":
        """Return the rule that does this one first and the other afterwards."""
        return Rule(name=f"{self.name}, {other.name}", apply=lambda grid: other.apply(self.apply(grid)))


def simple_rule(rng: random.Random) -> Rule:
    """Draw a rule of the pretraining corpus: mostly one that moves cells, else one that paints some."""
    return rng.choice(moves()) if rng.random() < _MOVE_PROBABILITY else rng.choice(painters())


@cache
def moves() -> tuple[Rule, ...]:
    """Return the simple rules that move cells: the symmetries of the square, shifts, and swaps of two neighbours."""
    return (*_symmetries(), *_shifts(), *_swaps())


@cache
def painters() -> tuple[Rule, ...]:
    """Return the simple rules that paint cells where they are: a row, a column, or one cell, in one colour."""
    cells = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    areas = {f"cell {cell}": {cell} for cell in cells}
    areas |= {f"row {row}": {(row, column) for column in range(SIDE)} for row in range(SIDE)}
    areas |= {f"column {column}": {(row, column) for row in range(SIDE)} for column in range(SIDE)}
    return tuple(
        Rule(name=f"paint {name} {colour}", apply=partial(_painted, area=area, colour=colour))
        for name, area in areas.items()
        for colour in range(1, NUM_COLOURS)
    )


@cache
def hard_rules() -> tuple[Rule, ...]:
    """Return the compositions of two moves, a shift among them, that are no move themselves and keep two cells; each action once.

    Compositions without a shift are left out: a model that knows symmetries and swaps infers those without any training.
    """
    seen = {rule.apply(PROBE) for rule in moves()}
    found = []
    for first in moves():
        for rule in map(first.then, moves()):
            action = rule.apply(PROBE)
            if action not in seen and sum(cell != BLACK for row in action for cell in row) == _NUM_KEPT_CELLS:
                seen.add(action)
                found.append(rule)
    return tuple(found)


def flipped(grid: Grid) -> Grid:
    """Mirror left and right."""
    return tuple(tuple(reversed(row)) for row in grid)


def transposed(grid: Grid) -> Grid:
    """Swap rows and columns."""
    return tuple(zip(*grid, strict=True))


def _symmetries() -> Iterator[Rule]:
    yield Rule(name="stay", apply=lambda grid: grid)
    yield Rule(name="mirror left-right", apply=flipped)
    yield Rule(name="mirror up-down", apply=lambda grid: grid[::-1])
    yield Rule(name="turn over", apply=lambda grid: flipped(grid)[::-1])
    yield Rule(name="turn right", apply=lambda grid: transposed(grid[::-1]))
    yield Rule(name="turn left", apply=lambda grid: transposed(grid)[::-1])
    yield Rule(name="transpose", apply=transposed)
    yield Rule(name="transpose the other way", apply=lambda grid: flipped(transposed(flipped(grid))))


def _shifts() -> Iterator[Rule]:
    for name, (down, right) in _DIRECTIONS.items():
        yield Rule(name=f"shift {name}", apply=partial(_shifted, down=down, right=right))


def _swaps() -> Iterator[Rule]:
    """Yield the swaps of two neighbours; those of two opposite corners are symmetries."""
    cells = [(0, 0), (0, 1), (1, 1), (1, 0)]
    for one, other in zip(cells, [*cells[1:], cells[0]], strict=True):
        yield Rule(name=f"swap {one} {other}", apply=partial(_swapped, one=one, other=other))


def _shifted(grid: Grid, down: int, right: int) -> Grid:
    def cell(row: int, column: int) -> int:
        return grid[row][column] if 0 <= row < SIDE and 0 <= column < SIDE else BLACK

    return tuple(tuple(cell(row - down, column - right) for column in range(SIDE)) for row in range(SIDE))


def _swapped(grid: Grid, one: tuple[int, int], other: tuple[int, int]) -> Grid:
    source = {one: other, other: one}

    def cell(place: tuple[int, int]) -> int:
        row, column = source.get(place, place)
        return grid[row][column]

    return tuple(tuple(cell((row, column)) for column in range(SIDE)) for row in range(SIDE))


def _painted(grid: Grid, area: set[tuple[int, int]], colour: int) -> Grid:
    return tuple(tuple(colour if (row, column) in area else grid[row][column] for column in range(SIDE)) for row in range(SIDE))
