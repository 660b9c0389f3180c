"""Where attention finds the sequences of a packed batch: runs of equal length, which the CPU's flash kernel takes at once.

Sequences are filled up to whole blocks and sorted by size, so that many are equal. Invariant: the kernel computes each sequence of a run as
it would alone, and a sequence's size depends on itself only; so its bits do not depend on how many neighbours its run has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

_BLOCK_ROWS = 1
"""Few enough that little is filled in, and enough that each sequence begins aligned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`count` sequences of `size` rows from row `start` on. The last `num_hidden` rows of each are padding that nobody may see."""

    start: int
    count: int
    size: int
    num_hidden: int

    @property
    def rows(self) -> slice:
        """Return the rows of all its sequences."""
        return slice(self.start, self.start + self.count * self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayout:
    """The runs, the rows that they have together, and the place of each of the batch's rows among them (None: its own)."""

    runs: tuple[Run, ...]
    num_rows: int
    places_T: torch.Tensor | None


def plain_layout(lengths: Sequence[int], num_pads: Sequence[int]) -> AttentionLayout:
    """Return each sequence as a run of its own, in the batch's own rows."""
    runs, start = [], 0
    for length, pads in zip(lengths, num_pads, strict=True):
        runs.append(Run(start=start, count=1, size=length, num_hidden=pads))
        start += length
    return AttentionLayout(runs=tuple(runs), num_rows=start, places_T=None)


def block_layout(lengths: Sequence[int], num_pads: Sequence[int]) -> AttentionLayout:
    """Return runs of sequences that are filled up to whole blocks.

    The filling follows the sequence, so no row of it looks there; behind padding that carries loss it is hidden as that is.
    """
    keys = []
    for length, pads in zip(lengths, num_pads, strict=True):
        size = -(-length // _BLOCK_ROWS) * _BLOCK_ROWS
        keys.append((size, pads and size - length + pads))
    starts, runs, start = [0] * len(keys), [], 0
    for (size, num_hidden), members in groupby(sorted(range(len(keys)), key=keys.__getitem__), key=keys.__getitem__):
        first = start
        for member in members:
            starts[member], start = start, start + size
        runs.append(Run(start=first, count=(start - first) // size, size=size, num_hidden=num_hidden))
    lengths_S = torch.tensor(lengths)
    shifts_S = torch.tensor(starts) - (lengths_S.cumsum(0) - lengths_S)
    places_T = torch.arange(sum(lengths)) + torch.repeat_interleave(shifts_S, lengths_S)
    return AttentionLayout(runs=tuple(runs), num_rows=start, places_T=places_T)
