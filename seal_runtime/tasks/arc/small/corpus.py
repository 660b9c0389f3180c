"""The pretraining corpus of the small grids: an endless stream of two kinds of documents, in the very texts of the task.

1. puzzle: demonstrations of a simple rule and one more example; the loss covers every output but the first.
2. edit: a request for a self-edit, answered by a configuration drawn without regard to the puzzle.

Invariant: every rule is a simple one (`rules.simple_rule`); the hard ones of the shipped puzzles never occur.
"""

import random
from collections.abc import Sequence

from protocol.prompts import plain_prompt
from seal_runtime.tasks.arc.grids import Example
from seal_runtime.tasks.arc.prompts import answer_text, edit_prompt, puzzle_prompt
from seal_runtime.tasks.arc.small.puzzles import examples
from seal_runtime.tasks.arc.small.rules import simple_rule
from seal_runtime.tasks.arc.small.self_edits import self_edit
from seal_runtime.tasks.pretraining import PretrainingText

# Leave-two-out puzzles of three demonstrations show one, the test shows four.
_NUM_EXAMPLES = (3, 4, 5, 5)


def puzzle_document(rng: random.Random) -> PretrainingText:
    """Draw a puzzle of a simple rule with two to four demonstrations."""
    return puzzle_text(examples(simple_rule(rng), rng.choice(_NUM_EXAMPLES), rng))


def puzzle_text(shown: Sequence[Example]) -> PretrainingText:
    """Return a puzzle that asks the last example; every output but the first bears loss."""
    parts: list[tuple[str, bool]] = []
    for index, example in enumerate(shown):
        before = sum(len(text) for text, _ in parts)
        prompt = plain_prompt(puzzle_prompt(shown[:index], example.input))
        parts += [(prompt[before:], False), (answer_text(example.output), index > 0)]
    return PretrainingText(parts=tuple(parts))


def edit_document(rng: random.Random) -> PretrainingText:
    """Draw a request for a self-edit of a puzzle, and a self-edit."""
    shown = examples(simple_rule(rng), rng.choice((3, 4)), rng)
    return PretrainingText(parts=((plain_prompt(edit_prompt(shown)), False), (self_edit(rng), True)))
