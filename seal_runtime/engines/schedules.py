"""Learning-rate schedules and the order of the data, as Hugging Face's Trainer has them."""

import math
from collections.abc import Iterator

import torch

from protocol.jobs import OptimSpec
from seal_runtime.seeds import derive_seed


def learning_rate(optim: OptimSpec, step: int, num_steps: int) -> float:
    """Return the learning rate of optimizer step `step` (from 0) of `num_steps`."""
    if step < optim.warmup_steps:
        return optim.learning_rate * step / max(1, optim.warmup_steps)
    progress = (step - optim.warmup_steps) / max(1, num_steps - optim.warmup_steps)
    if optim.schedule == "linear":
        return optim.learning_rate * max(0.0, 1.0 - progress)
    if optim.schedule == "cosine":
        return optim.learning_rate * max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
    return optim.learning_rate


def count_steps(optim: OptimSpec, num_sequences: int) -> int:
    """Return how many optimizer steps a job takes."""
    return optim.num_steps or optim.epochs * -(-num_sequences // optim.batch_size)


def data_order(optim: OptimSpec, num_sequences: int, seed: int) -> Iterator[list[int]]:
    """Yield the batches for ever, epoch after epoch, each epoch freshly shuffled by the seed; the last one of an epoch may be short."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order"))
    while True:
        order = torch.randperm(num_sequences, generator=generator).tolist()
        for start in range(0, num_sequences, optim.batch_size):
            yield order[start : start + optim.batch_size]
