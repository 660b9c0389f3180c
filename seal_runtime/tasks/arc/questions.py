"""What an adapted model is asked: each test input under invertible augmentations and in several orders of the demonstrations.

A question's id says how it was made, and its gold answer is the output under the same augmentation, so that answers can be turned back
and voted on without the puzzle. What is drawn at random depends on the puzzle's name alone: every run asks the same.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from protocol.jobs import Question
from seal_runtime.config.arc import ArcConfig
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.arc.augmentations import INVERTIBLE, augmented
from seal_runtime.tasks.arc.grids import Example, Puzzle
from seal_runtime.tasks.arc.prompts import answer_text, puzzle_prompt

ASKED_UNDER = ("transpose", "flip-rows", "flip-columns", "rotate-90", "rotate-180")
"""The five augmentations of the published code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a question was made: of which test input, under which augmentation."""

    test: int
    augmentation: str


def way_of(question: Question) -> Way:
    """Return how a question was made. Raises ValueError for a question of another task."""
    _, test, augmentation, _ = question.question_id.rsplit(".", 3)
    if not test.startswith("t") or augmentation not in INVERTIBLE:
        raise ValueError(f"expected a question of task arc, got {question.question_id!r}")
    return Way(test=int(test[1:]), augmentation=augmentation)


def questions_of(name: str, demonstrations: Sequence[Example], tests: Sequence[Example], limits: ArcConfig) -> tuple[Question, ...]:
    """Return all questions about a task's test inputs."""
    questions: list[Question] = []
    for test, asked in enumerate(tests):
        source = random.Random(derive_seed(0, "arc-questions", name, test))
        whole = Puzzle(demonstrations=tuple(demonstrations), asked=asked)
        ways = _leave_one_out(whole, limits, source) if limits.questions == "leave-one-out" else _under_augmentations(whole, limits, source)
        for number, (augmentation, puzzle) in enumerate(ways):
            questions.append(_question(f"{name}.t{test}.{augmentation}.{number}", puzzle, limits))
    return tuple(questions)


def _under_augmentations(whole: Puzzle, limits: ArcConfig, source: random.Random) -> Iterator[tuple[str, Puzzle]]:
    for augmentation in ASKED_UNDER:
        for number in range(limits.permutations):
            puzzle = _shuffled(whole, source) if number else whole
            yield augmentation, augmented(puzzle, INVERTIBLE[augmentation].apply)


def _leave_one_out(whole: Puzzle, limits: ArcConfig, source: random.Random) -> Iterator[tuple[str, Puzzle]]:
    """Yield the published code's questions: 3 for each demonstration left out, without repetitions, and one under each augmentation."""
    plain: list[Puzzle] = []
    for shown in combinations(whole.demonstrations, max(0, len(whole.demonstrations) - 1)):
        puzzle = Puzzle(demonstrations=shown, asked=whole.asked)
        plain += [puzzle, *(_shuffled(puzzle, source) for _ in range(limits.permutations))]
    plain = list(dict.fromkeys(plain))
    for augmentation in ASKED_UNDER:
        puzzle = augmented(source.choice(plain), INVERTIBLE[augmentation].apply)
        if puzzle not in plain:
            yield augmentation, puzzle
    for puzzle in plain:
        yield "identity", puzzle


def _shuffled(puzzle: Puzzle, source: random.Random) -> Puzzle:
    """Return the puzzle with its demonstrations in another order, where there is another."""
    order = list(puzzle.demonstrations)
    if len(set(order)) > 1:
        while tuple(order) == puzzle.demonstrations:
            source.shuffle(order)
    return Puzzle(demonstrations=tuple(order), asked=puzzle.asked)


def _question(question_id: str, puzzle: Puzzle, limits: ArcConfig) -> Question:
    """Return the question, with as many demonstrations, the last ones, as fit."""
    gold = answer_text(puzzle.asked.output)
    for first in range(len(puzzle.demonstrations) + 1):
        prompt = puzzle_prompt(puzzle.demonstrations[first:], puzzle.asked.input)
        if len(prompt) + len(gold) <= limits.max_chars:
            break
    return Question(question_id=question_id, prompt=prompt, answers=(gold,))
