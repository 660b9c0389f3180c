"""Where attention finds the sequences of a packed batch: runs of equal length, which the CPU's flash kernel takes at once.

Invariant: the kernel computes each sequence of a run as it would alone, in its own shape; so its bits do not depend on how many neighbours
its run has, and are those of an unpadded sequence of a batch of one. (Filled up to common sizes there would be fewer runs, but other
roundings, which AdamW makes large in weights whose gradient nearly vanishes.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`count` sequences of `size` rows from row `start` on. The last `num_pads` rows of each are padding that carries loss."""

    start: int
    count: int
    size: int
    num_pads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayout:
    """The runs, and the batch's rows in the order that the runs want (None: as they are)."""

    runs: tuple[Run, ...]
    num_tokens: int
    order_T: torch.Tensor | None


def plain_layout(lengths: Sequence[int], num_pads: Sequence[int]) -> AttentionLayout:
    """Return each sequence as a run of its own."""
    runs, start = [], 0
    for length, pads in zip(lengths, num_pads, strict=True):
        runs.append(Run(start=start, count=1, size=length, num_pads=pads))
        start += length
    return AttentionLayout(runs=tuple(runs), num_tokens=start, order_T=None)


def sorted_layout(lengths: Sequence[int], num_pads: Sequence[int]) -> AttentionLayout:
    """Return the runs of equal sequences, shortest first."""
    keys = list(zip(lengths, num_pads, strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    runs, start = [], 0
    for (size, pads), members in groupby(order, key=keys.__getitem__):
        runs.append(Run(start=start, count=len(list(members)), size=size, num_pads=pads))
        start += runs[-1].count * size
    order_T = None
    if order != list(range(len(keys))):
        blocks = torch.arange(start).split(list(lengths))
        order_T = torch.cat([blocks[index] for index in order])
    return AttentionLayout(runs=tuple(runs), num_tokens=start, order_T=order_T)
