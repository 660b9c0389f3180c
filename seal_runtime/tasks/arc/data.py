"""Read tasks from files in the ARC JSON format; a malformed one is named with its task and grid.

Challenges: `{id: {"train": [{"input": grid, "output": grid}], "test": [{"input": grid}]}}`. Solutions: `{id: [grid, ...]}`, an output
for each test input; without a solutions file the outputs stand beside the inputs.
"""

from dataclasses import dataclass
from pathlib import Path

from seal_runtime.config.yaml_source import describe
from seal_runtime.errors import DataError
from seal_runtime.tasks.arc.grids import MAX_SIDE, NUM_COLOURS, Example, Grid
from seal_runtime.tasks.data_files import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcPuzzle:
    """One task of ARC: demonstrations of its rule, and test inputs with their outputs."""

    name: str
    demonstrations: tuple[Example, ...]
    tests: tuple[Example, ...]


def read_puzzles(challenges: str, solutions: str | None) -> list[ArcPuzzle]:
    """Return the tasks in the order of the file. Raises DataError."""
    asked = _mapping(read_json(Path(challenges).expanduser()), challenges)
    solved = None if solutions is None else _mapping(read_json(Path(solutions).expanduser()), solutions)
    if not asked:
        raise DataError(f"{challenges}: expected at least one task, got none")
    puzzles = []
    for name, value in asked.items():
        where = f"{challenges}, task {name}"
        task = _mapping(value, where)
        demonstrations = tuple(_example(item, item, f"{where}, train {index}") for index, item in enumerate(_list(task, "train", where)))
        tests = _list(task, "test", where)
        outputs = tests if solved is None else _outputs(solved, name, len(tests), str(solutions))
        examples = tuple(
            _example(item, output, f"{where}, test {index}") for index, (item, output) in enumerate(zip(tests, outputs, strict=True))
        )
        if not demonstrations or not examples:
            raise DataError(f"{where}: expected demonstrations and test inputs, got {len(demonstrations)} and {len(examples)}")
        puzzles.append(ArcPuzzle(name=name, demonstrations=demonstrations, tests=examples))
    return puzzles


def _outputs(solved: dict[str, object], name: str, num_tests: int, solutions: str) -> list[object]:
    grids = solved.get(name)
    if not isinstance(grids, list) or len(grids) != num_tests:
        got = describe(grids) if not isinstance(grids, list) else str(len(grids))
        raise DataError(f"{solutions}, task {name}: expected a list of {num_tests} output(s), one for each test input, got {got}")
    return [{"output": grid} for grid in grids]


def _example(input_holder: object, output_holder: object, where: str) -> Example:
    given, made = _mapping(input_holder, where), _mapping(output_holder, where)
    return Example(input=_grid(given.get("input"), f"{where}, input"), output=_grid(made.get("output"), f"{where}, output"))


def _grid(value: object, where: str) -> Grid:
    rows = value if isinstance(value, list) else []
    if not 1 <= len(rows) <= MAX_SIDE or not all(isinstance(row, list) and 1 <= len(row) <= MAX_SIDE for row in rows):
        raise DataError(f"{where}: expected a grid, a list of 1 to {MAX_SIDE} rows of 1 to {MAX_SIDE} colours, got {describe(value)}")
    if len({len(row) for row in rows}) != 1:
        raise DataError(f"{where}: expected rows of one length, got lengths {sorted({len(row) for row in rows})}")
    wrong = [colour for row in rows for colour in row if type(colour) is not int or not 0 <= colour < NUM_COLOURS]
    if wrong:
        raise DataError(f"{where}: expected colours from 0 to {NUM_COLOURS - 1}, got {describe(wrong[0])}")
    return tuple(tuple(row) for row in rows)


def _mapping(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object, got {describe(value)}")
    return value


def _list(holder: dict[str, object], key: str, where: str) -> list[object]:
    value = holder.get(key)
    if not isinstance(value, list):
        raise DataError(f"{where}, {key}: expected a list, got {describe(value)}")
    return value
