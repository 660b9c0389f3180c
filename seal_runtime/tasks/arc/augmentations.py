"""What can be done to a grid, one function each, and the inverses of those that lose nothing.

Directions are those of numpy and of the published code: a rotation goes against the clock. Invariant: a grid stays a grid (rows of one
length), and every augmentation is the same function for inputs and outputs, so that a puzzle keeps a rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from seal_runtime.tasks.arc.grids import Example, Grid, Puzzle

Augmentation = Callable[[Grid], Grid]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invertible:
    """An augmentation and its inverse."""

    apply: Augmentation
    invert: Augmentation


def identity(grid: Grid) -> Grid:
    """Return the grid."""
    return grid


def transpose(grid: Grid) -> Grid:
    """Return the grid with rows for columns."""
    return tuple(zip(*grid, strict=True))


def flip_rows(grid: Grid) -> Grid:
    """Return the grid upside down."""
    return grid[::-1]


def flip_columns(grid: Grid) -> Grid:
    """Return the grid with left for right."""
    return tuple(row[::-1] for row in grid)


def rotate_90(grid: Grid) -> Grid:
    """Return the grid turned by 90 degrees against the clock."""
    return flip_rows(transpose(grid))


def rotate_180(grid: Grid) -> Grid:
    """Return the grid turned by 180 degrees."""
    return flip_rows(flip_columns(grid))


def rotate_270(grid: Grid) -> Grid:
    """Return the grid turned by 270 degrees against the clock."""
    return transpose(flip_rows(grid))


def beside(left: Augmentation, right: Augmentation) -> Augmentation:
    """Return the augmentation that puts what two make side by side."""
    return lambda grid: tuple(a + b for a, b in zip(left(grid), right(grid), strict=True))


def stacked(upper: Augmentation, lower: Augmentation) -> Augmentation:
    """Return the augmentation that puts what two make one above the other."""
    return lambda grid: upper(grid) + lower(grid)


def chained(first: Augmentation, second: Augmentation) -> Augmentation:
    """Return the augmentation that does one after the other."""
    return lambda grid: second(first(grid))


def double_height(grid: Grid) -> Grid:
    """Return the grid with every row twice."""
    return tuple(row for row in grid for _ in range(2))


def double_width(grid: Grid) -> Grid:
    """Return the grid with every cell twice along its row."""
    return tuple(tuple(chain.from_iterable(zip(row, row, strict=True))) for row in grid)


def translated(num_rows: int, num_columns: int) -> Augmentation:
    """Return the augmentation that moves all cells down and to the right; what leaves the grid comes in on the other side."""

    def move(grid: Grid) -> Grid:
        down, right = num_rows % len(grid), num_columns % len(grid[0])
        moved = grid[len(grid) - down :] + grid[: len(grid) - down]
        return tuple(row[len(row) - right :] + row[: len(row) - right] for row in moved)

    return move


def recoloured(colours: tuple[int, ...]) -> Augmentation:
    """Return the augmentation that gives colour c the colour `colours[c]`."""
    return lambda grid: tuple(tuple(colours[colour] for colour in row) for row in grid)


double_resolution = chained(double_height, double_width)

INVERTIBLE: Mapping[str, Invertible] = MappingProxyType(
    {
        "identity": Invertible(apply=identity, invert=identity),
        "transpose": Invertible(apply=transpose, invert=transpose),
        "flip-rows": Invertible(apply=flip_rows, invert=flip_rows),
        "flip-columns": Invertible(apply=flip_columns, invert=flip_columns),
        "rotate-90": Invertible(apply=rotate_90, invert=rotate_270),
        "rotate-180": Invertible(apply=rotate_180, invert=rotate_180),
        "rotate-270": Invertible(apply=rotate_270, invert=rotate_90),
    }
)
"""The augmentations under which a puzzle can be asked, by name."""

GEOMETRIC: tuple[Augmentation, ...] = (
    rotate_90,
    rotate_270,
    rotate_180,
    flip_rows,
    flip_columns,
    stacked(flip_rows, identity),
    beside(flip_columns, identity),
    stacked(identity, flip_rows),
    beside(identity, flip_columns),
    transpose,
)
"""`use_basic_augmentations` without the random translation: rotations, flips, reflections (a grid beside its mirror image), transpose."""

SIZE: tuple[Augmentation, ...] = (double_resolution, double_height, double_width)
CHAIN: tuple[Augmentation, ...] = tuple(
    chained(first, double_resolution) for first in (rotate_90, rotate_270, rotate_180, flip_rows, flip_columns, transpose)
)
_twice_down, _twice_across = stacked(identity, identity), beside(identity, identity)
REPEAT: tuple[Augmentation, ...] = (_twice_down, _twice_across, chained(_twice_down, _twice_across))


def augmented(puzzle: Puzzle, augmentation: Augmentation) -> Puzzle:
    """Return the puzzle with an augmentation of all its grids."""
    demonstrations = tuple(augmented_example(example, augmentation) for example in puzzle.demonstrations)
    return Puzzle(demonstrations=demonstrations, asked=augmented_example(puzzle.asked, augmentation))


def augmented_example(example: Example, augmentation: Augmentation) -> Example:
    """Return the example with an augmentation of both grids."""
    return Example(input=augmentation(example.input), output=augmentation(example.output))
