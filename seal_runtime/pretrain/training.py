"""Pretrain the built-in model: one run, from random weights, on the final corpus.

Each step sees about 36 passages with self-edits (every eighth step open-book questions instead) and 128 short closed-book texts.
The result depends on the seed, the number of steps and the machine's arithmetic, on nothing else.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from seal_runtime.pretrain.batches import Batch, batches
from seal_runtime.pretrain.network import NetworkShape, Weights, initial_weights, logits_at_labels
from seal_runtime.pretrain.optimizer import MuonAdamW
from seal_runtime.tasks.fictional import corpus

DEFAULT_STEPS = 1600
_EDIT_ROWS = 36
_SHORT_ROWS = 128
_OPEN_BOOK_EVERY = 8
_WARMUP_STEPS = 60
_DECAY_FRACTION = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One optimizer step: `step` counts from 1; losses are mean nats a token of the passage batch and of the short batch."""

    step: int
    num_steps: int
    num_tokens: int
    long_loss: float
    short_loss: float
    weights: Weights


def train(tokenizer: Tokenizer, seed: int, num_steps: int, on_progress: Callable[[Progress], None]) -> tuple[NetworkShape, Weights]:
    """Train and return shape and float32 weights. `on_progress` is called after every step and must not change the weights."""
    shape = NetworkShape(vocabulary=tokenizer.get_vocab_size())
    weights = initial_weights(shape, seed)
    for weight in weights.values():
        weight.requires_grad_()
    optimizer = MuonAdamW(weights)
    num_tokens = 0
    for step, (long_batch, short_batch) in enumerate(_batch_pairs(tokenizer, seed, num_steps)):
        short_share = 0.5 if step < 0.55 * num_steps else 0.7
        long_loss = _backward(shape, weights, long_batch, 1 - short_share)
        short_loss = _backward(shape, weights, short_batch, short_share)
        optimizer.step(_schedule(step, num_steps))
        num_tokens += long_batch.ids_BT.numel() + short_batch.ids_BT.numel()
        on_progress(
            Progress(step=step + 1, num_steps=num_steps, num_tokens=num_tokens, long_loss=long_loss, short_loss=short_loss, weights=weights)
        )
    return shape, {name: weight.detach() for name, weight in weights.items()}


def _batch_pairs(tokenizer: Tokenizer, seed: int, num_steps: int) -> Iterator[tuple[Batch, Batch]]:
    def stream(name: str, draw: Callable[[random.Random], corpus.Document], num_rows: int) -> Iterator[Batch]:
        return batches(tokenizer, draw, random.Random(f"pretrain-{seed}-{name}"), num_rows)

    edits = stream("edit", corpus.edit_document, _EDIT_ROWS)
    open_book = stream("open-book", corpus.open_book_document, _EDIT_ROWS)
    short = stream("short", corpus.short_document, _SHORT_ROWS)
    for step in range(num_steps):
        yield next(open_book if step % _OPEN_BOOK_EVERY == _OPEN_BOOK_EVERY - 1 else edits), next(short)


def _backward(shape: NetworkShape, weights: Weights, batch: Batch, share: float) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_NV, labels_N = logits_at_labels(shape, weights, batch.ids_BT, batch.labels_BT)
    loss = F.cross_entropy(logits_NV, labels_N)
    (loss * share).backward()
    return float(loss.item())


def _schedule(step: int, num_steps: int) -> float:
    """Warm up, stay, then fall linearly to 2 % over the last half of the steps."""
    warmup = (step + 1) / _WARMUP_STEPS
    decay = 0.02 + (num_steps - step) / (_DECAY_FRACTION * num_steps)
    return min(1.0, warmup, decay)
