"""The training puzzles of a self-edit, made of the demonstrations alone: the test inputs never enter.

Each demonstration is asked once with all others shown, and once for each way of leaving out one more; the augmentations that the edit
chose are made of these; then each gets a twin with other colours and the demonstrations in another order.

Departures from the published code
 1. The order, and what is drawn at random, derive from a seed; there they depend on the hashes of a Python process.
 2. The random translation moves all grids of a puzzle by the same number of cells; there inputs and outputs are moved apart.
 3. The colours 1 to 9 are permuted at random; there they are drawn from those that the puzzle does not use, as long as there are any.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations

from seal_runtime.config.arc import ArcConfig
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.arc.augmentations import CHAIN, GEOMETRIC, REPEAT, SIZE, Augmentation, augmented, recoloured, translated
from seal_runtime.tasks.arc.grids import NUM_COLOURS, Example, Puzzle
from seal_runtime.tasks.arc.prompts import puzzle_chars
from seal_runtime.tasks.arc.self_edits import ArcEdit

_MAX_SHIFT = 3
_LEFT_OUT = (1, 2)


def training_puzzles(demonstrations: Sequence[Example], edit: ArcEdit, limits: ArcConfig, seed: int) -> list[Puzzle]:
    """Return at most `limits.max_examples` puzzles, a function of the arguments alone."""
    source = random.Random(derive_seed(seed, "arc-training"))
    augmentations = _chosen(edit, source)
    puzzles: list[Puzzle] = []
    for num_left_out in _LEFT_OUT:
        puzzles += _varied(list(leave_out(demonstrations, num_left_out)), augmentations, limits, source)
    puzzles = [puzzle for puzzle in puzzles if puzzle_chars(puzzle) <= limits.max_chars]
    if len(puzzles) > limits.max_examples:
        source.shuffle(puzzles)
    return puzzles[: limits.max_examples]


def bare_puzzles(demonstrations: Sequence[Example], limits: ArcConfig) -> list[Puzzle]:
    """Return what there is to train on without any self-edit: the puzzles of leaving out, as they are."""
    puzzles = [puzzle for num_left_out in _LEFT_OUT for puzzle in leave_out(demonstrations, num_left_out)]
    return [puzzle for puzzle in puzzles if puzzle_chars(puzzle) <= limits.max_chars][: limits.max_examples]


def leave_out(demonstrations: Sequence[Example], num_left_out: int) -> Iterator[Puzzle]:
    """Yield a puzzle for each demonstration asked and each choice of the others left out, `num_left_out` together."""
    for asked, example in enumerate(demonstrations):
        others = [index for index in range(len(demonstrations)) if index != asked]
        for absent in combinations(others, num_left_out - 1):
            shown = tuple(demonstrations[index] for index in others if index not in absent)
            yield Puzzle(demonstrations=shown, asked=example)


def _chosen(edit: ArcEdit, source: random.Random) -> list[Augmentation]:
    augmentations: list[Augmentation] = []
    if edit.use_basic:
        augmentations += [*GEOMETRIC, translated(source.randint(0, _MAX_SHIFT), source.randint(0, _MAX_SHIFT))]
    augmentations += [*SIZE] if edit.use_size else []
    augmentations += [*CHAIN] if edit.use_chain else []
    augmentations += [*REPEAT] if edit.use_repeat else []
    return augmentations


def _varied(puzzles: list[Puzzle], augmentations: Sequence[Augmentation], limits: ArcConfig, source: random.Random) -> list[Puzzle]:
    """Return the twins of the puzzles and of their augmentations, then these themselves, each once."""
    made = [augmented(puzzle, augmentation) for augmentation in augmentations for puzzle in puzzles]
    originals = list(dict.fromkeys([*(puzzle for puzzle in made if puzzle.side <= limits.max_side), *puzzles]))
    twins = [_twin(puzzle, source, recolours=bool(augmentations)) for puzzle in originals]
    return list(dict.fromkeys([*twins, *originals]))


def _twin(puzzle: Puzzle, source: random.Random, *, recolours: bool) -> Puzzle:
    """Return the puzzle in other colours, 0 staying itself, and with its demonstrations in another order."""
    if recolours:
        colours = list(range(1, NUM_COLOURS))
        source.shuffle(colours)
        puzzle = augmented(puzzle, recoloured((0, *colours)))
    order = list(puzzle.demonstrations)
    source.shuffle(order)
    return Puzzle(demonstrations=tuple(order), asked=puzzle.asked)
