"""Grids of colours, examples of a puzzle, and the text of a grid as the published code writes it (numpy's form of an array).

A grid of 2 x 3 is written `[[1 2 3]\\n [4 5 6]]`. Reading is as forgiving as the published code: brackets are ignored, and the number
of lines says how many rows the digits make.
"""

from dataclasses import dataclass

Grid = tuple[tuple[int, ...], ...]
"""Rows of colours, 0 to 9; at least one row and one column, all rows of one length."""

NUM_COLOURS = 10
MAX_SIDE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An input and the output that the puzzle's rule makes of it."""

    input: Grid
    output: Grid

    @property
    def side(self) -> int:
        """Return the longest side of both grids."""
        return max(len(self.input), len(self.input[0]), len(self.output), len(self.output[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzle:
    """Demonstrations of a rule, and one example of it whose output is asked for."""

    demonstrations: tuple[Example, ...]
    asked: Example

    @property
    def side(self) -> int:
        """Return the longest side of all grids."""
        return max(example.side for example in (*self.demonstrations, self.asked))


def grid_text(grid: Grid) -> str:
    """Return the text of a grid."""
    return "[" + "\n ".join("[" + " ".join(map(str, row)) + "]" for row in grid) + "]"


def parse_grid(text: str) -> Grid | None:
    """Return the grid that a text means, None for any other text and for grids of more than MAX_SIDE rows or columns."""
    digits = text.replace("[", " ").replace("]", " ").split()
    num_rows = text.count("\n") + 1
    num_columns, rest = divmod(len(digits), num_rows)
    if rest or not 1 <= num_columns <= MAX_SIDE or num_rows > MAX_SIDE:
        return None
    if not all(len(digit) == 1 and digit in "0123456789" for digit in digits):
        return None
    colours = [int(digit) for digit in digits]
    return tuple(tuple(colours[start : start + num_columns]) for start in range(0, len(colours), num_columns))
