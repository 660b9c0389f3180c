"""Pretrain a built-in model: one run, from random weights, on the final corpus of its world.

The result depends on the world, the seed, the number of steps and the machine's arithmetic, on nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from seal_runtime.pretrain.network import NetworkShape, Weights, initial_weights, logits_at_labels
from seal_runtime.pretrain.optimizer import MuonAdamW
from seal_runtime.pretrain.worlds import WeightedBatch, World

_WARMUP_STEPS = 60
_DECAY_FRACTION = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One optimizer step: `step` counts from 1; losses are mean nats a token of each of its batches."""

    step: int
    num_steps: int
    num_tokens: int
    losses: tuple[float, ...]
    weights: Weights


def train(
    world: World, tokenizer: Tokenizer, seed: int, num_steps: int, on_progress: Callable[[Progress], None]
) -> tuple[NetworkShape, Weights]:
    """Train and return shape and float32 weights. `on_progress` is called after every step and must not change the weights."""
    shape = NetworkShape(vocabulary=tokenizer.get_vocab_size())
    weights = initial_weights(shape, seed)
    for weight in weights.values():
        weight.requires_grad_()
    optimizer = MuonAdamW(weights, world.muon_learning_rate)
    num_tokens = 0
    for step, parts in enumerate(world.steps(tokenizer, seed, num_steps)):
        losses = tuple(_backward(shape, weights, part) for part in parts)
        optimizer.step(_schedule(step, num_steps))
        num_tokens += sum(part.batch.ids_BT.numel() for part in parts)
        on_progress(Progress(step=step + 1, num_steps=num_steps, num_tokens=num_tokens, losses=losses, weights=weights))
    return shape, {name: weight.detach() for name, weight in weights.items()}


def _backward(shape: NetworkShape, weights: Weights, part: WeightedBatch) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_NV, labels_N = logits_at_labels(shape, weights, part.batch.ids_BT, part.batch.labels_BT)
    loss = F.cross_entropy(logits_NV, labels_N)
    (loss * part.share).backward()
    return float(loss.item())


def _schedule(step: int, num_steps: int) -> float:
    """Warm up, stay, then fall linearly to 2 % over the last half of the steps."""
    warmup = (step + 1) / _WARMUP_STEPS
    decay = 0.02 + (num_steps - step) / (_DECAY_FRACTION * num_steps)
    return min(1.0, warmup, decay)
