"""Causal attention over packed rows, sequence by sequence: each sequence sees itself alone, in products of its own shape.

Registered as an attention implementation of transformers, so that any model that goes through its attention interface works. CPU runs
PyTorch's flash kernel once a sequence; CUDA runs one variable-length kernel over all of them where the dtype allows.
"""

# T rows of the pass, H query heads, J key-value heads, L tokens of one sequence, D head size, N rows of one request
from typing import Any

import torch
from transformers import AttentionInterface

from seal_runtime.engines.attention_masks import hidden_pairs
from seal_runtime.engines.grouped_linear import ALIGNMENT_BYTES
from seal_runtime.engines.key_value_cache import KeyValueCache
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
    if batch.phase == "decode":
        return _decode(batch, module.layer_idx, query_1HTD, key_1JTD, value_1JTD, scale, sliding_window), None
    _store_prompts(batch, module.layer_idx, key_1JTD, value_1JTD)
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
        repeats = query.shape[1] // key.shape[1]
        out_1HTD = _new_like(query)
        saved = []
        start = 0
        for length, num_pads in zip(batch.lengths, batch.num_pads, strict=True):
            end = start + length
            q, k, v = _slice(query, start, end), _slice(key, start, end, repeats), _slice(value, start, end, repeats)
            mask = _additive_mask(query, length, num_pads, window)
            out, logsumexp = _flash(q, k, v, 0.0, mask is None, attn_mask=mask, scale=scale)
            out_1HTD[:, :, start:end] = out
            saved.append((q, k, v, out, logsumexp, mask))
            start = end
        out_1HTD[:, :, start:].zero_()
        ctx.saved, ctx.batch, ctx.scale, ctx.shapes = saved, batch, scale, (query.shape, key.shape)
        return out_1HTD.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad_1THD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_1HTD = grad_1THD.transpose(1, 2)
        grads = (_new_like(grad_1HTD), _new_like(grad_1HTD, ctx.shapes[1][1]), _new_like(grad_1HTD, ctx.shapes[1][1]))
        repeats = ctx.shapes[0][1] // ctx.shapes[1][1]
        start = 0
        for length, (q, k, v, out, logsumexp, mask) in zip(ctx.batch.lengths, ctx.saved, strict=True):
            end = start + length
            parts = _flash_backward(
                _slice(grad_1HTD, start, end), q, k, v, out, logsumexp, 0.0, mask is None, attn_mask=mask, scale=ctx.scale
            )
            for grad, part in zip(grads, parts, strict=True):
                grad[:, :, start:end] = part if part.shape[1] == grad.shape[1] else part.unflatten(1, (-1, repeats)).sum(2)
            start = end
        for grad in grads:
            grad[:, :, start:].zero_()
        return *grads, None, None, None


def _new_like(tensor_1HTD: torch.Tensor, num_heads: int | None = None) -> torch.Tensor:
    """Return an empty [1, H, T, D] tensor whose memory is laid out token by token, as the linear layers want it."""
    _, heads, rows, head_size = tensor_1HTD.shape
    return tensor_1HTD.new_empty(1, rows, num_heads or heads, head_size).transpose(1, 2)


def _slice(tensor_1HTD: torch.Tensor, start: int, end: int, repeats: int = 1) -> torch.Tensor:
    """Return one sequence, aligned as a tensor of its own would be."""
    part = tensor_1HTD[:, :, start:end]
    if repeats > 1:
        return part.repeat_interleave(repeats, dim=1)
    if part.shape[3] * part.element_size() % ALIGNMENT_BYTES == 0:
        return part
    return part.clone(memory_format=torch.contiguous_format)


def _additive_mask(like: torch.Tensor, length: int, num_pads: int, window: int | None) -> torch.Tensor | None:
    hidden_LL = hidden_pairs(length, num_pads, window, like.device)
    if hidden_LL is None:
        return None
    return torch.zeros(length, length, dtype=like.dtype).masked_fill_(hidden_LL, float("-inf"))[None, None]


def _store_prompts(batch: PackedBatch, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
    start = 0
    for group in batch.groups:
        for row, length in enumerate(group.lengths):
            if group.cache is not None:
                group.cache.store_sequence(layer, row, key[0, :, start : start + length], value[0, :, start : start + length])
            start += length


def _decode(
    batch: PackedBatch, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    """Attend from the newest token of each row to its cached sequence. Query heads that share a key head become query positions."""
    out_1HTD = _new_like(query)
    num_heads, num_kv_heads, head_size = query.shape[1], key.shape[1], query.shape[3]
    start = 0
    for group, size in zip(batch.groups, batch.sizes, strict=False):
        cache: KeyValueCache | None = group.cache
        assert cache is not None, "decoding needs a cache"
        rows = slice(start, start + size)
        keys, values = cache.append(layer, key[0, :, rows].transpose(0, 1), value[0, :, rows].transpose(0, 1))
        q = query[0, :, rows].transpose(0, 1).reshape(size, num_kv_heads, num_heads // num_kv_heads, head_size)
        mask = cache.mask(query, window)
        out = torch.nn.functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=scale)
        out_1HTD[0, :, rows] = out.reshape(size, num_heads, head_size).transpose(0, 1)
        start += size
    out_1HTD[:, :, start:].zero_()
    return out_1HTD.transpose(1, 2)
