"""The world of small grids, as pretraining sees it.

Each step sees 64 puzzles of simple rules and 8 requests for self-edits with their answers.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from seal_runtime.pretrain.batches import batches
from seal_runtime.pretrain.examination import accuracy
from seal_runtime.pretrain.grid_card import grid_card
from seal_runtime.pretrain.grid_verification import FULL, GridVerificationSize, hard_puzzles, simple_puzzles, verify_grids
from seal_runtime.pretrain.grid_vocabulary import build_grid_tokenizer
from seal_runtime.pretrain.network import NetworkShape, Weights
from seal_runtime.pretrain.worlds import TrainingFacts, WeightedBatch
from seal_runtime.tasks.arc.small import corpus

_PUZZLE_ROWS = 64
_EDIT_ROWS = 8
_EDIT_SHARE = 0.1
_NUM_EXAMINED = 96


class GridWorld:
    """Made for `seal-tiny-grids`. `size` says how much the verification measures."""

    default_steps = 600
    muon_learning_rate = 0.01

    def __init__(self, size: GridVerificationSize = FULL) -> None:
        self._size = size

    def build_tokenizer(self) -> Tokenizer:
        """Return the tokenizer of cells and fixed texts."""
        return build_grid_tokenizer()

    def steps(self, tokenizer: Tokenizer, seed: int, num_steps: int) -> Iterator[Sequence[WeightedBatch]]:
        """Yield puzzles and self-edits of each step."""
        puzzles = batches(tokenizer, corpus.puzzle_document, random.Random(f"pretrain-{seed}-puzzle"), _PUZZLE_ROWS)
        edits = batches(tokenizer, corpus.edit_document, random.Random(f"pretrain-{seed}-edit"), _EDIT_ROWS)
        for _ in range(num_steps):
            yield WeightedBatch(batch=next(puzzles), share=1 - _EDIT_SHARE), WeightedBatch(batch=next(edits), share=_EDIT_SHARE)

    def examine(self, shape: NetworkShape, weights: Weights, tokenizer: Tokenizer) -> dict[str, float]:
        """Ask puzzles of simple rules, and of hard ones, without any training on them."""
        return {
            "simple": accuracy(shape, weights, tokenizer, simple_puzzles(_NUM_EXAMINED)),
            "hard": accuracy(shape, weights, tokenizer, hard_puzzles(_NUM_EXAMINED)),
        }

    def model_card(self, folder: Path, facts: TrainingFacts) -> str:
        """Verify the folder and return its card."""
        return grid_card(facts, verify_grids(folder, facts.seed, self._size))
