"""The shipped puzzles as files in the ARC JSON format: challenges and solutions, for training and for evaluation.

Reproducible byte for byte from the seed. The rules are hard ones, no rule belongs to two puzzles, and the demonstrations of each puzzle
leave one answer only.
"""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path

from seal_runtime.tasks.arc.grids import Example, Grid
from seal_runtime.tasks.arc.small.puzzles import examples
from seal_runtime.tasks.arc.small.rules import Rule, hard_rules, moves

NUM_DEMONSTRATIONS = 4
# Two attempts at one small grid succeed by luck too often; a puzzle counts only when all its test inputs are right.
NUM_TESTS = 4
NUM_PUZZLES = {"training": 22, "evaluation": 22}

_Rows = list[list[int]]


def write_puzzles(folder: Path, seed: int) -> list[Path]:
    """Write four files into the folder, which is made where it is missing, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"small-grids-{seed}")
    written = []
    for group, rules in puzzle_rules(seed).items():
        challenges, solutions = {}, {}
        for index, rule in enumerate(rules):
            demonstrations, tests = _puzzle(rule, rng)
            name = f"{group}-{index:02d}"
            challenges[name] = {
                "train": [_pair(example) for example in demonstrations],
                "test": [{"input": _rows(asked.input)} for asked in tests],
            }
            solutions[name] = [_rows(asked.output) for asked in tests]
        for kind, content in (("challenges", challenges), ("solutions", solutions)):
            path = folder / f"{group}_{kind}.json"
            path.write_text(_text(content), encoding="utf-8")
            written.append(path)
    return written


def puzzle_rules(seed: int) -> dict[str, tuple[Rule, ...]]:
    """Return the rules of the puzzles of each group, each rule once."""
    shuffled = iter(random.Random(f"small-grids-rules-{seed}").sample(hard_rules(), sum(NUM_PUZZLES.values())))
    return {group: tuple(itertools.islice(shuffled, count)) for group, count in NUM_PUZZLES.items()}


def answers_that_fit(demonstrations: Sequence[Example], asked: Grid) -> set[Grid]:
    """Return what the rules that explain all demonstrations, simple or hard, make of a grid."""
    explaining = (rule for rule in (*moves(), *hard_rules()) if all(rule.apply(shown.input) == shown.output for shown in demonstrations))
    return {rule.apply(asked) for rule in explaining}


def _puzzle(rule: Rule, rng: random.Random) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Draw demonstrations and test inputs, all different, until the former leave one answer to each of the latter."""
    while True:
        drawn = examples(rule, NUM_DEMONSTRATIONS + NUM_TESTS, rng)
        demonstrations, tests = drawn[:NUM_DEMONSTRATIONS], drawn[NUM_DEMONSTRATIONS:]
        all_differ = len({example.input for example in drawn}) == len(drawn)
        if all_differ and all(len(answers_that_fit(demonstrations, asked.input)) == 1 for asked in tests):
            return demonstrations, tests


def _pair(example: Example) -> dict[str, _Rows]:
    return {"input": _rows(example.input), "output": _rows(example.output)}


def _rows(grid: Grid) -> _Rows:
    return [list(row) for row in grid]


def _text(content: dict[str, dict[str, list[dict[str, _Rows]]]] | dict[str, list[_Rows]]) -> str:
    """Lay out one puzzle a line."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(puzzle, separators=(',', ':'))}" for name, puzzle in content.items())
    return f"{{\n{lines}\n}}\n"
