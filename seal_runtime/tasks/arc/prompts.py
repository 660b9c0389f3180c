"""The texts of the few-shot ARC experiment as the published code writes them: the request for a self-edit, and a puzzle with its answer.

Both requests have instructions for the system role (`protocol.prompts`), which a model without chat reads as the beginning of one text.
"""

from collections.abc import Sequence

from protocol.jobs import TrainingSequence
from protocol.prompts import with_system
from seal_runtime.tasks.arc.grids import Example, Grid, Puzzle, grid_text, parse_grid

END_OF_GRID = "#"
"""What ends an output grid, in demonstrations and answers."""

_PUZZLE_INSTRUCTIONS = (
    "Figure out the underlying transformation in the following examples and apply it to the test case. "
    "Here are some examples from this transformation, your answer must follow the format.\n"
    "The input-output grids are provided as python arrays:\n"
)
_INSTRUCTIONS_CHARS = len(with_system(_PUZZLE_INSTRUCTIONS, ""))
_INTO = " -> "
_EDIT_INSTRUCTIONS = "You are a helpful assistant that provide the correct output for the given task immediately.\n\n"
_EDIT_REQUEST = """------


You are configuring a model training pipeline by selecting from predefined tools.

You must make two decisions:

1. **Data Generation Tools** — For each of the following, choose true or false:
    - use_basic_augmentations
    - use_size_augmentations
    - use_chain_augmentations
    - use_repeat_augmentations

2. **Training Configuration** — Choose one of:
    - "train_using_all_tokens"
    - "train_using_output_tokens"

Also specify:
    - learning_rate (float)
    - num_train_epochs (integer)

### Output Format

Respond with a valid JSON object. Do not include any explanation, markdown, or extra text. \
Use lowercase `true`/`false` for booleans and ensure correct JSON syntax.

Example output:

{
  "data_generation": {
    "use_basic_augmentations": ...,
    "use_size_augmentations": ...,
    "use_chain_augmentations": ...,
    "use_repeat_augmentations": ...
  },
  "training": {
    "strategy": ...,
    "learning_rate": ...,
    "num_train_epochs": ...
  }
}
"""


def edit_prompt(demonstrations: Sequence[Example]) -> str:
    """Return the request for a self-edit: the demonstrations, then what to decide."""
    return with_system(_EDIT_INSTRUCTIONS, shown_demonstrations(demonstrations) + _EDIT_REQUEST)


def shown_demonstrations(demonstrations: Sequence[Example]) -> str:
    """Return the demonstrations as rows of digits."""
    return "".join(f"Input:\n{_rows(example.input)}\nOutput:\n{_rows(example.output)}\n" for example in demonstrations)


def puzzle_prompt(demonstrations: Sequence[Example], asked: Grid) -> str:
    """Return the request for the output of one grid, after the demonstrations."""
    shown = "".join(f"{grid_text(example.input)}{_INTO}{answer_text(example.output)}\n" for example in demonstrations)
    return with_system(_PUZZLE_INSTRUCTIONS + shown, f"{grid_text(asked)}{_INTO}")


def answer_text(grid: Grid) -> str:
    """Return the expected answer to `puzzle_prompt`."""
    return grid_text(grid) + END_OF_GRID


def parse_answer(answer: str) -> Grid | None:
    """Return the grid that a model answered, None when there is none: what stands before the first END_OF_GRID counts."""
    return parse_grid(answer.split(END_OF_GRID)[0].strip())


def puzzle_sequence(puzzle: Puzzle, *, loss_on_prompt: bool) -> TrainingSequence:
    """Return the training sequence of a puzzle whose output is known."""
    prompt = puzzle_prompt(puzzle.demonstrations, puzzle.asked.input)
    return TrainingSequence(prompt=prompt, completion=answer_text(puzzle.asked.output), weight=1.0, loss_on_prompt=loss_on_prompt)


def puzzle_chars(puzzle: Puzzle) -> int:
    """Return the length of a puzzle's training text without writing it: an edit's puzzles are many."""
    examples = (*puzzle.demonstrations, puzzle.asked)
    separators = len(examples) * (len(_INTO) + len(END_OF_GRID)) + len(puzzle.demonstrations) * len("\n")
    return _INSTRUCTIONS_CHARS + separators + sum(_grid_chars(example.input) + _grid_chars(example.output) for example in examples)


def _grid_chars(grid: Grid) -> int:
    return len(grid) * (2 * len(grid[0]) + 3)


def _rows(grid: Grid) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in grid)
