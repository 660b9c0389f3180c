"""Draw puzzles: random grids of a few colours, and what a rule makes of them."""

import random

from seal_runtime.tasks.arc.grids import NUM_COLOURS, Example, Grid
from seal_runtime.tasks.arc.small.rules import SIDE, Rule

_NUM_COLOURS_OF_A_PUZZLE = (5, 8)


def examples(rule: Rule, count: int, rng: random.Random) -> tuple[Example, ...]:
    """Draw inputs of one palette of five to eight colours, and their outputs.

    Fewer colours would leave it open which cell a cell of the output comes from.
    """
    palette = rng.sample(range(NUM_COLOURS), rng.randint(*_NUM_COLOURS_OF_A_PUZZLE))
    return tuple(Example(input=grid, output=rule.apply(grid)) for grid in (_random_grid(palette, rng) for _ in range(count)))


def _random_grid(palette: list[int], rng: random.Random) -> Grid:
    return tuple(tuple(rng.choice(palette) for _ in range(SIDE)) for _ in range(SIDE))
