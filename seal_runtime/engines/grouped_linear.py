"""A linear layer whose rows belong to groups, each with its own low-rank adapter: y = x W^T + b + s (x A^T) B^T, group by group.

Invariant: a group's rows see products of its own shape only, or such as do not depend on the shape, in forward and backward, so its
results are bit-identical whoever its neighbours are. W is frozen: no gradient is made for it. The gradients of A and B go straight to
where the group's LoraFactors say. A batch with stacked factors takes the other path: one product over all rows and grouped products for
the adapters, which is what a GPU wants and is equal to rounding only.
"""

# T rows of the pass, I inputs, O outputs, R rank; suffix G: of one group
from collections.abc import Sequence
from typing import Any

import torch

from seal_runtime.engines.exact_product import exact_product
from seal_runtime.engines.packed_batch import BatchContext, LoraFactors, PackedBatch
from seal_runtime.engines.stacked_factors import StackedFactors

ALIGNMENT_BYTES = 64
"""Of every tensor that torch allocates on CPU."""


class GroupedLinear(torch.nn.Module):  # type: ignore[misc]  # torch is untyped to mypy here
    """Takes the place of an nn.Linear or of GPT-2's Conv1D (whose weight is transposed)."""

    def __init__(self, base: torch.nn.Module, name: str, index: int, context: BatchContext) -> None:
        super().__init__()
        self.base = base
        self.name = name
        self.index = index
        self.context = context
        self.is_transposed = not isinstance(base, torch.nn.Linear)
        weight = base.weight.detach()
        self.weight_OI = weight.t() if self.is_transposed else weight
        self.weight_IO = self.weight_OI.t()
        self.bias_O = None if base.bias is None else base.bias.detach()

    @property
    def out_features(self) -> int:
        """Return the number of outputs."""
        return int(self.weight_OI.shape[0])

    @property
    def in_features(self) -> int:
        """Return the number of inputs."""
        return int(self.weight_OI.shape[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., I] to [..., O]; the leading dimensions hold the rows of the current batch."""
        batch = self.context.current
        x_TI = x.reshape(-1, x.shape[-1])
        if batch.stacked is not None:
            return self._multiply_stacked(x_TI, batch.stacked).view(*x.shape[:-1], self.out_features)
        if torch.is_grad_enabled() and (x.requires_grad or self.index in batch.adapted):
            y_TO = _GroupedLinearFunction.apply(x_TI, self.context.anchor, self, batch)
        else:
            y_TO, _ = self.multiply(x_TI, batch)
        return y_TO.view(*x.shape[:-1], y_TO.shape[-1])

    def _multiply_stacked(self, x_TI: torch.Tensor, stacked: StackedFactors) -> torch.Tensor:
        y_TO = torch.nn.functional.linear(x_TI, self.weight_OI, self.bias_O)
        return y_TO if self.index not in stacked.layers else y_TO + stacked.delta(self.index, x_TI)

    def multiply(self, x_TI: torch.Tensor, batch: PackedBatch) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Return the outputs, and x A^T of each group that has an adapter here."""
        if batch.is_exact:
            return self._multiply_exact(x_TI, batch)
        y_TO, outputs = new_rows(x_TI, self.out_features, batch.sizes)
        inputs = split_rows(x_TI, batch.sizes)
        hidden: list[torch.Tensor | None] = []
        for group, x_GI, y_GO in zip(batch.groups, inputs, outputs, strict=False):
            if self.bias_O is None:
                torch.mm(x_GI, self.weight_IO, out=y_GO)
            else:
                torch.addmm(self.bias_O, x_GI, self.weight_IO, out=y_GO)
            factors = group.factors.get(self.index)
            hidden.append(None if factors is None else _add_adapter(factors, x_GI, y_GO))
        return join_rows(y_TO, outputs), hidden

    def _multiply_exact(self, x_TI: torch.Tensor, batch: PackedBatch) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        y_TO = exact_product(x_TI, self.weight_IO, self.bias_O)
        if self.index not in batch.adapted:
            return y_TO, []
        inputs, outputs = split_rows(x_TI, batch.sizes), split_rows(y_TO, batch.sizes)
        hidden: list[torch.Tensor | None] = []
        for group, x_GI, y_GO in zip(batch.groups, inputs, outputs, strict=False):
            factors = group.factors.get(self.index)
            hidden.append(None if factors is None else _add_adapter(factors, x_GI, y_GO))
        return join_rows(y_TO, outputs), hidden


def _add_adapter(factors: LoraFactors, x_GI: torch.Tensor, y_GO: torch.Tensor) -> torch.Tensor:
    if x_GI.dtype == factors.weight_a_RI.dtype:
        hidden_GR = torch.mm(x_GI, factors.weight_a_IR)
        y_GO.addmm_(hidden_GR, factors.weight_b_RO, alpha=factors.scale)
    else:
        hidden_GR = torch.mm(x_GI.to(factors.weight_a_RI.dtype), factors.weight_a_IR)
        y_GO.add_(torch.mm(hidden_GR, factors.weight_b_RO).mul_(factors.scale))
    return hidden_GR


class _GroupedLinearFunction(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x_TI: torch.Tensor, anchor: torch.Tensor, layer: GroupedLinear, batch: PackedBatch) -> torch.Tensor:
        y_TO, ctx.hidden = layer.multiply(x_TI, batch)
        ctx.layer, ctx.batch = layer, batch
        ctx.save_for_backward(*([x_TI] if layer.index in batch.adapted else []))
        return y_TO

    @staticmethod
    def backward(ctx: Any, grad_TO: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        layer, batch = ctx.layer, ctx.batch
        grad_TO = grad_TO.contiguous()
        if batch.is_exact:
            return _backward_exact(ctx, grad_TO), None, None, None
        grads = split_rows(grad_TO, batch.sizes)
        inputs = split_rows(ctx.saved_tensors[0], batch.sizes) if ctx.saved_tensors else grads
        grad_TI, outputs = None, None
        if ctx.needs_input_grad[0]:
            grad_TI, outputs = new_rows(grad_TO, layer.in_features, batch.sizes)
        for position, (group, x_GI, grad_GO) in enumerate(zip(batch.groups, inputs, grads, strict=False)):
            grad_GI = None if outputs is None else outputs[position]
            if grad_GI is not None:
                torch.mm(grad_GO, layer.weight_OI, out=grad_GI)
            factors = group.factors.get(layer.index)
            if factors is not None:
                _adapter_backward(factors, x_GI, ctx.hidden[position], grad_GO, grad_GI, group.accumulate)
        return (None if outputs is None else join_rows(grad_TI, outputs)), None, None, None


def _backward_exact(ctx: Any, grad_TO: torch.Tensor) -> torch.Tensor | None:
    layer, sizes = ctx.layer, ctx.batch.sizes
    grad_TI = exact_product(grad_TO, layer.weight_OI) if ctx.needs_input_grad[0] else None
    if not ctx.saved_tensors:
        return grad_TI
    inputs, grads = split_rows(ctx.saved_tensors[0], sizes), split_rows(grad_TO, sizes)
    outputs = [None] * len(sizes) if grad_TI is None else split_rows(grad_TI, sizes)
    for group, x_GI, hidden_GR, grad_GO, grad_GI in zip(ctx.batch.groups, inputs, ctx.hidden, grads, outputs, strict=False):
        factors = group.factors.get(layer.index)
        if factors is not None:
            _adapter_backward(factors, x_GI, hidden_GR, grad_GO, grad_GI, group.accumulate)
    return None if grad_TI is None else join_rows(grad_TI, outputs)


def _adapter_backward(
    factors: LoraFactors,
    x_GI: torch.Tensor,
    hidden_GR: torch.Tensor,
    grad_GO: torch.Tensor,
    grad_GI: torch.Tensor | None,
    accumulate: bool,
) -> None:
    dtype = factors.weight_a_RI.dtype
    if x_GI.dtype != dtype:
        x_GI, grad_GO = x_GI.to(dtype), grad_GO.to(dtype)
    grad_hidden_GR = torch.mm(grad_GO, factors.weight_b_OR)
    if factors.grad_a_RI is not None and factors.grad_b_RO is not None:
        beta = 1.0 if accumulate else 0.0
        factors.grad_a_RI.addmm_(grad_hidden_GR.t(), x_GI, beta=beta, alpha=factors.scale)
        factors.grad_b_RO.addmm_(hidden_GR.t(), grad_GO, beta=beta, alpha=factors.scale)
    if grad_GI is not None:
        if grad_GI.dtype == dtype:
            grad_GI.addmm_(grad_hidden_GR, factors.weight_a_RI, alpha=factors.scale)
        else:
            grad_GI.add_(torch.mm(grad_hidden_GR, factors.weight_a_RI).mul_(factors.scale))


def split_rows(x_TW: torch.Tensor, sizes: Sequence[int]) -> Sequence[torch.Tensor]:
    """Return the rows of each group, each block aligned as a tensor of its own would be (MKL's results depend on alignment)."""
    blocks: Sequence[torch.Tensor] = x_TW.split_with_sizes(sizes)
    if _is_aligned(x_TW):
        return blocks
    return [block.clone() for block in blocks]


def new_rows(like: torch.Tensor, width: int, sizes: Sequence[int]) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
    """Return an uninitialised [T, width] tensor with zeroed filling rows, and the aligned blocks of its groups to write to."""
    y_TW = like.new_empty(sum(sizes), width)
    blocks: Sequence[torch.Tensor] = y_TW.split_with_sizes(sizes)
    if not _is_aligned(y_TW):
        blocks = [torch.empty_like(block) for block in blocks]
    if sizes[-1]:
        blocks[-1].zero_()
    return y_TW, blocks


def join_rows(y_TW: torch.Tensor, blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the tensor that `new_rows` gave, filled with its blocks."""
    if _is_aligned(y_TW):
        return y_TW
    return torch.cat(list(blocks), out=y_TW)


def _is_aligned(x_TW: torch.Tensor) -> bool:
    return bool(x_TW.is_cuda or x_TW.shape[1] * x_TW.element_size() % ALIGNMENT_BYTES == 0)
