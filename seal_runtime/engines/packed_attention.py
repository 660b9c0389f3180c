"""Causal attention over packed rows, sequence by sequence: each sequence sees itself alone, in products of its own shape.

Registered as an attention implementation of transformers, so that any model that goes through its attention interface works. CPU runs
PyTorch's flash kernel over each run of sequences of one length; CUDA runs one variable-length kernel over all of them where the dtype
allows.
"""

# T rows of the pass, N sequences of a run, H query heads, J key-value heads, L rows of one sequence, D head size
from typing import Any

import torch
from transformers import AttentionInterface

from seal_runtime.engines.attention_layout import AttentionLayout, Run
from seal_runtime.engines.attention_masks import hidden_pairs
from seal_runtime.engines.cached_attention import attend_cached
from seal_runtime.engines.grouped_linear import ALIGNMENT_BYTES
from seal_runtime.engines.packed_batch import BatchContext, PackedBatch

IMPLEMENTATION = "seal_packed"

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def packed_attention(
    module: Any,
    query_1HTD: torch.Tensor,
    key_1JTD: torch.Tensor,
    value_1JTD: torch.Tensor,
    attention_mask: None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as the batch of the module's context says. Returns [1, T, H, D]. The signature is that of transformers' interface."""
    context: BatchContext = module.seal_context
    batch = context.current
    scale = scaling if scaling is not None else query_1HTD.shape[-1] ** -0.5
    if batch.phase != "sequences":
        return attend_cached(batch, module.layer_idx, query_1HTD, key_1JTD, value_1JTD, scale, sliding_window), None
    if query_1HTD.is_cuda:
        from seal_runtime.engines.cuda_attention import attend_sequences_cuda

        return attend_sequences_cuda(batch, query_1HTD, key_1JTD, value_1JTD, scale, sliding_window), None
    return _SequenceAttention.apply(query_1HTD, key_1JTD, value_1JTD, batch, scale, sliding_window), None


def register() -> None:
    """Make the implementation known to transformers; again is harmless."""
    AttentionInterface.register(IMPLEMENTATION, packed_attention)


class _SequenceAttention(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        batch: PackedBatch,
        scale: float,
        window: int | None,
    ) -> torch.Tensor:
        layout, repeats, num_rows = batch.attention, query.shape[1] // key.shape[1], query.shape[2]
        query, key, value = (_sorted(tensor, layout) for tensor in (query, key, value))
        out_1HTD, saved = _new_like(query), []
        for run in layout.runs:
            q, k, v = _slice(query, run), _slice(key, run, repeats), _slice(value, run, repeats)
            mask = _additive_mask(query, run.size, run.num_pads, window)
            out, logsumexp = _flash(q, k, v, 0.0, mask is None, attn_mask=mask, scale=scale)
            _blocks(out_1HTD, run).copy_(out)
            saved += [q, k, v, out, logsumexp, mask]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.scale, ctx.num_kv_heads = layout, scale, key.shape[1]
        return _restored(out_1HTD, layout, num_rows).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad_1THD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layout, saved, num_rows = ctx.layout, ctx.saved_tensors, grad_1THD.shape[1]
        grad_1HTD = _sorted(grad_1THD.transpose(1, 2), layout)
        grads = (_new_like(grad_1HTD), _new_like(grad_1HTD, ctx.num_kv_heads), _new_like(grad_1HTD, ctx.num_kv_heads))
        for position, run in enumerate(layout.runs):
            q, k, v, out, logsumexp, mask = saved[6 * position : 6 * position + 6]
            parts = _flash_backward(_slice(grad_1HTD, run), q, k, v, out, logsumexp, 0.0, mask is None, attn_mask=mask, scale=ctx.scale)
            for grad, part_NHLD in zip(grads, parts, strict=True):
                _blocks(grad, run).copy_(_sum_shared(part_NHLD, grad.shape[1]))
        return *(_restored(grad, layout, num_rows) for grad in grads), None, None, None


def _sorted(tensor_1HTD: torch.Tensor, layout: AttentionLayout) -> torch.Tensor:
    """Return the rows in the order of the layout, or as they are where that is the same."""
    if layout.order_T is None:
        return tensor_1HTD
    return tensor_1HTD[0].transpose(0, 1).index_select(0, layout.order_T).transpose(0, 1)[None]


def _restored(tensor_1HTD: torch.Tensor, layout: AttentionLayout, num_rows: int) -> torch.Tensor:
    """Return the rows in the batch's own order; its filling rows are zero."""
    if layout.order_T is None:
        tensor_1HTD[:, :, layout.num_tokens :].zero_()
        return tensor_1HTD
    rows_THD = tensor_1HTD[0].transpose(0, 1)
    restored_THD = rows_THD.new_empty(num_rows, *rows_THD.shape[1:]).index_copy_(0, layout.order_T, rows_THD)
    restored_THD[layout.num_tokens :].zero_()
    return restored_THD.transpose(0, 1)[None]


def _new_like(tensor_1HTD: torch.Tensor, num_heads: int | None = None) -> torch.Tensor:
    """Return an empty [1, H, T, D] tensor whose memory is laid out token by token, as the linear layers want it."""
    _, heads, rows, head_size = tensor_1HTD.shape
    return tensor_1HTD.new_empty(1, rows, num_heads or heads, head_size).transpose(1, 2)


def _blocks(tensor_1HTD: torch.Tensor, run: Run) -> torch.Tensor:
    """Return the sequences of a run [N, H, L, D] as a view."""
    _, num_heads, _, head_size = tensor_1HTD.shape
    _, of_head, of_row, of_number = tensor_1HTD.stride()
    return tensor_1HTD.as_strided(
        (run.count, num_heads, run.size, head_size),
        (run.size * of_row, of_head, of_row, of_number),
        tensor_1HTD.storage_offset() + run.start * of_row,
    )


def _slice(tensor_1HTD: torch.Tensor, run: Run, repeats: int = 1) -> torch.Tensor:
    """Return the sequences of a run [N, H, L, D], aligned as tensors of their own would be."""
    part_NHLD = _blocks(tensor_1HTD, run)
    if repeats > 1:
        return part_NHLD.repeat_interleave(repeats, dim=1)
    if part_NHLD.shape[3] * part_NHLD.element_size() % ALIGNMENT_BYTES == 0:
        return part_NHLD
    return part_NHLD.clone(memory_format=torch.contiguous_format)


def _sum_shared(part_NHLD: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Add the gradients of query heads that share a key head, one after the other (a reduction's order may depend on N)."""
    if part_NHLD.shape[1] == num_heads:
        return part_NHLD
    first, *others = part_NHLD.unflatten(1, (num_heads, -1)).unbind(2)
    total = first.clone()
    for other in others:
        total += other
    return total


def _additive_mask(like: torch.Tensor, length: int, num_pads: int, window: int | None) -> torch.Tensor | None:
    hidden_LL = hidden_pairs(length, num_pads, window, like.device)
    if hidden_LL is None:
        return None
    return torch.zeros(length, length, dtype=like.dtype).masked_fill_(hidden_LL, float("-inf"))[None, None]
