"""The factors of all groups of a batch as one stack a layer, for grouped matrix products (the path for GPUs).

Ranks are filled up with zeros to the largest: the filling adds exactly nothing and gets exactly no gradient.
"""

# K groups, R common rank, I inputs, O outputs, T rows
from collections.abc import Callable, Sequence

import torch

from seal_runtime.engines.lora_group import Group, LoraFactors

_Pick = Callable[[LoraFactors], tuple[torch.Tensor | None, torch.Tensor | None]]

_RANK_MULTIPLE = 8
"""grouped_mm wants strides of whole 16 bytes."""


class StackedFactors:
    """Copies of the groups' factors in the dtype of the base model; gradients are collected back after the backward pass."""

    def __init__(self, groups: Sequence[Group], dtype: torch.dtype, device: torch.device) -> None:
        self._groups = groups
        self._device = device
        self._offsets_K: torch.Tensor | None = None
        self._scale_T1: torch.Tensor | None = None
        self.layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        ranks = [factors.weight_a_RI.shape[0] for group in groups for factors in group.factors.values()]
        rank = -(-max(ranks, default=0) // _RANK_MULTIPLE) * _RANK_MULTIPLE
        shapes = {index: (f.weight_a_RI.shape[1], f.weight_b_RO.shape[1]) for group in groups for index, f in group.factors.items()}
        for index, (inputs, outputs) in shapes.items():
            a_KRI = torch.zeros(len(groups), rank, inputs, dtype=dtype, device=device)
            b_KRO = torch.zeros(len(groups), rank, outputs, dtype=dtype, device=device)
            self.layers[index] = (a_KRI, b_KRO)
        targets, sources = self._pairs(lambda factors: (factors.weight_a_RI, factors.weight_b_RO), self.layers)
        if targets:
            torch._foreach_copy_(targets, sources)

    def require_gradients(self) -> None:
        """Make the stacks autograd leaves."""
        for a_KRI, b_KRO in self.layers.values():
            a_KRI.requires_grad_(True)
            b_KRO.requires_grad_(True)

    def place(self, sizes: Sequence[int], num_rows: int) -> None:
        """Learn where the rows of each group lie. The filling rows go with the last group: grouped_mm leaves none undefined."""
        ends = torch.tensor(sizes).cumsum(0).to(torch.int32)
        ends[-1] = num_rows
        scales = torch.tensor([next(iter(group.factors.values())).scale if group.factors else 0.0 for group in self._groups])
        counts = torch.diff(ends, prepend=torch.zeros(1, dtype=torch.int32))
        self._offsets_K = ends.to(self._device)
        self._scale_T1 = torch.repeat_interleave(scales, counts)[:, None].to(self._device)

    def delta(self, index: int, x_TI: torch.Tensor) -> torch.Tensor:
        """Return what the adapters add to the output of layer `index`."""
        assert self._scale_T1 is not None, "place comes first"
        a_KRI, b_KRO = self.layers[index]
        hidden_TR = torch.nn.functional.grouped_mm(x_TI, a_KRI.transpose(1, 2), offs=self._offsets_K)
        # In float32, because the rounding of a scale to bfloat16 would be the same error in every step; and where the rows are short.
        scaled_TR = (hidden_TR * self._scale_T1).to(hidden_TR.dtype)
        return torch.nn.functional.grouped_mm(scaled_TR, b_KRO, offs=self._offsets_K)

    def collect_gradients(self) -> None:
        """Hand the gradients of the stacks to the groups' factors."""
        grads = {index: (a.grad, b.grad) for index, (a, b) in self.layers.items()}
        for accumulate in (False, True):
            sources, targets = self._pairs(lambda factors: (factors.grad_a_RI, factors.grad_b_RO), grads, accumulate=accumulate)
            if targets and accumulate:
                torch._foreach_add_(targets, [source.to(target.dtype) for source, target in zip(sources, targets, strict=True)])
            elif targets:
                torch._foreach_copy_(targets, sources)

    def _pairs(
        self, pick: _Pick, layers: dict[int, tuple[torch.Tensor, torch.Tensor]], accumulate: bool | None = None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the stacks' parts and the groups' own tensors, in the same order."""
        stacked: list[torch.Tensor] = []
        own: list[torch.Tensor] = []
        for position, group in enumerate(self._groups):
            if accumulate is not None and group.accumulate != accumulate:
                continue
            for index, factors in group.factors.items():
                rank = factors.weight_a_RI.shape[0]
                for stack, tensor in zip(layers[index], pick(factors), strict=True):
                    if tensor is not None:
                        stacked.append(stack[position, :rank])
                        own.append(tensor)
        return stacked, own
