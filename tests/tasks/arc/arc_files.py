"""Small puzzles on disk, and hypothesis strategies of grids."""

import json
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from seal_runtime.config.arc import ArcConfig
from seal_runtime.tasks.arc.augmentations import Augmentation, flip_columns, rotate_90, transpose
from seal_runtime.tasks.arc.grids import Example, Grid

CALM = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No test may depend on the speed of the machine."""
RULES: tuple[Augmentation, ...] = (transpose, flip_columns, rotate_90)
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "seal-arc"


def grids(max_side: int = 6) -> st.SearchStrategy[Grid]:
    """Return a strategy of grids of every shape."""
    sides = st.tuples(st.integers(1, max_side), st.integers(1, max_side))

    def of_shape(shape: tuple[int, int]) -> st.SearchStrategy[Grid]:
        row = st.tuples(*[st.integers(0, 9)] * shape[1])
        return st.tuples(*[row] * shape[0])

    return sides.flatmap(of_shape)


def grid(number: int, num_rows: int = 3, num_columns: int = 2) -> Grid:
    """Return a grid that is different for each number below 100,000."""
    return tuple(tuple((number // 10 ** (row + column) + row * column) % 10 for column in range(num_columns)) for row in range(num_rows))


def examples(rule: Augmentation, first: int, count: int) -> tuple[Example, ...]:
    """Return examples of a rule."""
    return tuple(Example(input=grid(number), output=rule(grid(number))) for number in range(first, first + count))


def write_files(folder: Path, *, training: int = 4, evaluation: int = 2, demonstrations: int = 3, tests: int = 1) -> ArcConfig:
    """Write puzzles of three rules, and return the section that names their files."""
    names = {"training": [f"train{index}" for index in range(training)], "evaluation": [f"eval{index}" for index in range(evaluation)]}
    files: dict[str, str] = {}
    number = 111
    for kind, ids in names.items():
        challenges, solutions = {}, {}
        for index, name in enumerate(ids):
            shown = examples(RULES[index % len(RULES)], number, demonstrations)
            asked = examples(RULES[index % len(RULES)], number + demonstrations, tests)
            number += 1111
            challenges[name] = {"train": [as_json(example) for example in shown], "test": [{"input": example.input} for example in asked]}
            solutions[name] = [example.output for example in asked]
        for part, content in (("challenges", challenges), ("solutions", solutions)):
            path = folder / f"{kind}_{part}.json"
            path.write_text(json.dumps(content))
            files[f"{kind}_{part}"] = str(path)
    return ArcConfig.model_validate(files)


def as_json(example: Example) -> dict[str, Grid]:
    """Return an example as a file has it."""
    return {"input": example.input, "output": example.output}


def real_files() -> ArcConfig:
    """Return the section that names the published files."""
    return ArcConfig(
        training_challenges=str(REAL / "arc-agi_training_challenges_filtered_1B_training_set.json"),
        training_solutions=str(REAL / "arc-agi_training_solutions_filtered_1B_training_set.json"),
        evaluation_challenges=str(REAL / "arc-agi_evaluation_challenges_filtered_1B_eval_set.json"),
        evaluation_solutions=str(REAL / "arc-agi_evaluation_solutions_filtered_1B_eval_set.json"),
    )
