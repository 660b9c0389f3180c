"""The few-shot ARC experiment (`task.name: arc`): its files, and the limits of what a self-edit may train on."""

from typing import Literal

from pydantic import Field

from seal_runtime.config.section import Section

BEST_CONFIG = (
    '{"data_generation": {"use_basic_augmentations": true, "use_size_augmentations": true, "use_chain_augmentations": true, '
    '"use_repeat_augmentations": true}, "training": {"strategy": "train_using_output_tokens", "learning_rate": 0.0001, '
    '"num_train_epochs": 2}}'
)


class ArcConfig(Section):
    """Puzzles in the ARC JSON format, and how they are trained on and asked. Read only with `task.name: arc`."""

    training_challenges: str | None = None
    """JSON file of the puzzles that rewards come from. Relative paths are relative to the working directory."""
    training_solutions: str | None = None
    """JSON file with the outputs of their test inputs; null: they stand in the challenges file, as `output`."""
    evaluation_challenges: str | None = None
    """JSON file of the puzzles of the test split. null: there is none."""
    evaluation_solutions: str | None = None
    """JSON file with the outputs of their test inputs; null as above."""
    num_validation: int = Field(default=1, ge=0)
    """Training puzzles, the last of the file, that are kept for `evaluation.split: validation` and give no reward."""
    max_examples: int = Field(default=250, ge=1, le=10_000)
    """Most training puzzles that a self-edit makes of the demonstrations."""
    max_steps: int = Field(default=375, ge=1)
    """A self-edit that wants more optimizer steps trains nothing. Counted as in the published code: epochs x training puzzles / 2."""
    max_side: int = Field(default=30, ge=1, le=30)
    """Most rows and columns of a grid that an augmentation makes."""
    max_chars: int = Field(default=8192, ge=64)
    """Longest text of a training puzzle or question in characters (with Llama 3's tokenizer about as many tokens). Longer training puzzles
    are left out; longer questions lose demonstrations."""
    questions: Literal["augmented", "leave-one-out"] = "augmented"
    """What each test input is asked with. `augmented`: five invertible augmentations, each with `permutations` orders of the
    demonstrations. `leave-one-out`: as the published code does, each choice of all demonstrations but one in 1 + `permutations` orders,
    and one of these under each of the augmentations."""
    permutations: int = Field(default=2, ge=1, le=16)
    """Orders of the demonstrations."""
    scripted: str = BEST_CONFIG
    """The hand-made self-edit that is measured as *scripted edits*, as JSON. The default is the published one."""
