"""The world of made-up people, towns and companies, as pretraining sees it.

Each step sees about 36 passages with self-edits (every eighth step open-book questions instead) and 128 short closed-book texts.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from seal_runtime.pretrain.batches import Batch, batches
from seal_runtime.pretrain.examination import examine
from seal_runtime.pretrain.network import NetworkShape, Weights
from seal_runtime.pretrain.report import fictional_card
from seal_runtime.pretrain.verification import FULL, VerificationSize, verify
from seal_runtime.pretrain.vocabulary import build_tokenizer
from seal_runtime.pretrain.worlds import TrainingFacts, WeightedBatch
from seal_runtime.tasks.fictional import corpus

_EDIT_ROWS = 36
_SHORT_ROWS = 128
_OPEN_BOOK_EVERY = 8
_NUM_EXAMINED_ENTITIES = 40


class FictionalWorld:
    """Made for `seal-tiny`. `size` says how much the verification measures."""

    default_steps = 1600
    muon_learning_rate = 0.005

    def __init__(self, size: VerificationSize = FULL) -> None:
        self._size = size

    def build_tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the world's words."""
        return build_tokenizer()

    def steps(self, tokenizer: Tokenizer, seed: int, num_steps: int) -> Iterator[Sequence[WeightedBatch]]:
        """Yield passages and short texts of each step; the short texts weigh more towards the end."""

        def stream(name: str, draw: Callable[[random.Random], corpus.Document], num_rows: int) -> Iterator[Batch]:
            return batches(tokenizer, draw, random.Random(f"pretrain-{seed}-{name}"), num_rows)

        edits = stream("edit", corpus.edit_document, _EDIT_ROWS)
        open_book = stream("open-book", corpus.open_book_document, _EDIT_ROWS)
        short = stream("short", corpus.short_document, _SHORT_ROWS)
        for step in range(num_steps):
            short_share = 0.5 if step < 0.55 * num_steps else 0.7
            long_batch = next(open_book if step % _OPEN_BOOK_EVERY == _OPEN_BOOK_EVERY - 1 else edits)
            yield WeightedBatch(batch=long_batch, share=1 - short_share), WeightedBatch(batch=next(short), share=short_share)

    def examine(self, shape: NetworkShape, weights: Weights, tokenizer: Tokenizer) -> dict[str, float]:
        """Ask questions about known entities, and open-book ones."""
        examination = examine(shape, weights, tokenizer, _NUM_EXAMINED_ENTITIES)
        return {"known": examination.known, "open-book": examination.open_book}

    def model_card(self, folder: Path, facts: TrainingFacts) -> str:
        """Verify the folder and return its card."""
        return fictional_card(facts, verify(folder, facts.seed, self._size))
