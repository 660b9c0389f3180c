"""The batch of one forward pass: the token rows of many groups laid end to end, and how they belong together.

A group is one job's share: its sequences and its own low-rank factors. Invariant: all arithmetic that mixes rows (matrix products,
attention, loss) is done group by group, and everything else is row-wise, so a group's numbers do not depend on its neighbours.
To keep the element-wise kernels of the CPU free of a scalar tail, the rows are filled up to a multiple of ROW_MULTIPLE; the
filling rows belong to no group.
"""

# T rows (tokens) of the pass
from collections.abc import Sequence
from typing import Literal

import torch

from seal_runtime.engines.attention_layout import AttentionLayout, plain_layout, sorted_layout
from seal_runtime.engines.lora_group import Group, LoraFactors
from seal_runtime.engines.stacked_factors import StackedFactors

__all__ = ["BatchContext", "Group", "LoraFactors", "PackedBatch"]

ROW_MULTIPLE = 64
"""At least twice the widest vector of a CPU (64 bytes of bfloat16), so that any row width gives whole vectors."""

Phase = Literal["sequences", "prompts", "decode"]
"""Training or plain reading; prompts that fill a cache; newest tokens that extend it."""


class PackedBatch:
    """The groups of one pass and their layout. `sizes` ends with the filling rows, which may be none.

    `is_exact`: products with the frozen weights go over all rows (`exact_product`), and attention over runs of equal sequences.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        phase: Phase,
        device: torch.device,
        stacked: StackedFactors | None = None,
        is_exact: bool = False,
    ) -> None:
        self.groups = groups
        self.phase = phase
        self.stacked = stacked
        sizes = [len(group.ids_T) for group in groups]
        self.num_tokens = sum(sizes)
        filling = -self.num_tokens % ROW_MULTIPLE
        self.sizes = [*sizes, filling]
        self.num_rows = self.num_tokens + filling
        zeros = torch.zeros(filling, dtype=torch.long)
        self.ids_1T = torch.cat([*(group.ids_T for group in groups), zeros])[None].to(device, non_blocking=True)
        self.positions_1T = torch.cat([*(group.positions_T for group in groups), zeros])[None].to(device, non_blocking=True)
        self.adapted = frozenset(index for group in groups for index in group.factors)
        if stacked is not None:
            stacked.place(sizes, self.num_rows)
        self.lengths = [length for group in groups for length in group.lengths]
        self.num_pads = [pads for group in groups for pads in group.num_pads or [0] * len(group.lengths)]
        self.is_exact = is_exact
        self._attention: AttentionLayout | None = None

    @property
    def attention(self) -> AttentionLayout:
        """Return how attention takes the sequences."""
        if self._attention is None:
            lay_out = sorted_layout if self.is_exact else plain_layout
            self._attention = lay_out(self.lengths, self.num_pads)
        return self._attention


class BatchContext:
    """Where the hooked modules of one model find the batch of the pass that is under way.

    `anchor` requires a gradient, so that adapted layers take part in the backward pass although their factors are no autograd leaves.
    """

    def __init__(self, device: torch.device) -> None:
        self.batch: PackedBatch | None = None
        self.anchor = torch.zeros((), device=device, requires_grad=True)

    @property
    def current(self) -> PackedBatch:
        """Return the batch of the pass under way."""
        assert self.batch is not None, "a hooked model was called outside of PackedModel"
        return self.batch
