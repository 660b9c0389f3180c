"""Attention of generation: prompts that fill a cache, and newest tokens that extend it. Request by request, without gradients.

Invariant: the kernels see tensors whose shape and alignment depend on the request alone.
"""

# T rows of the pass or of a request, H query heads, J key-value heads, R query heads a key-value head, D head size, N rows of a request
import torch

from seal_runtime.engines.attention_masks import hidden_pairs
from seal_runtime.engines.key_value_cache import KeyValueCache
from seal_runtime.engines.packed_batch import Group, PackedBatch


def attend_cached(
    batch: PackedBatch,
    layer: int,
    query_1HTD: torch.Tensor,
    key_1JTD: torch.Tensor,
    value_1JTD: torch.Tensor,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """Attend in the phases `prompts` and `decode`. Returns [1, T, H, D]."""
    query_THD, key_TJD, value_TJD = (tensor[0].transpose(0, 1) for tensor in (query_1HTD, key_1JTD, value_1JTD))
    if batch.phase == "prompts" and query_THD.is_cuda and not any(_cache(group).layout.prefix_length for group in batch.groups):
        from seal_runtime.engines.cuda_attention import attend_sequences_cuda

        for group, key_GJD, value_GJD in zip(batch.groups, key_TJD.split(batch.sizes), value_TJD.split(batch.sizes), strict=False):
            _cache(group).fill(layer, key_GJD, value_GJD)
        return attend_sequences_cuda(batch, query_1HTD, key_1JTD, value_1JTD, scale, window)
    out_THD = query_THD.new_empty(query_THD.shape)
    parts = (tensor.split(batch.sizes) for tensor in (out_THD, query_THD, key_TJD, value_TJD))
    for group, (out_GHD, query_GHD, key_GJD, value_GJD) in zip(batch.groups, zip(*parts, strict=True), strict=False):
        cache = _cache(group)
        if batch.phase == "decode":
            _decode(cache, layer, out_GHD, query_GHD, key_GJD, value_GJD, scale, window)
            continue
        keys_NJSD, values_NJSD = cache.fill(layer, key_GJD, value_GJD)
        start = 0
        for length in group.lengths[: 1 if cache.layout.prefix_length else None]:
            rows = slice(start, start + length)
            out_GHD[rows] = _sequence(query_GHD[rows], key_GJD[rows], value_GJD[rows], scale, window)
            start += length
        if cache.layout.prefix_length:
            out_GHD[start:] = _rests(cache, query_GHD, keys_NJSD, values_NJSD, scale, window)
    out_THD[batch.num_tokens :].zero_()
    return out_THD[None]


def _cache(group: Group) -> KeyValueCache:
    assert group.cache is not None, "generation needs a cache"
    return group.cache


def _sequence(query_LHD: torch.Tensor, key_LJD: torch.Tensor, value_LJD: torch.Tensor, scale: float, window: int | None) -> torch.Tensor:
    """Return causal attention [L, H, D] of one sequence over itself."""
    repeats = query_LHD.shape[1] // key_LJD.shape[1]
    hidden_LL = hidden_pairs(len(query_LHD), 0, window, query_LHD.device)
    mask_LL = None
    if hidden_LL is not None:
        mask_LL = query_LHD.new_zeros(hidden_LL.shape).masked_fill_(hidden_LL, float("-inf"))
    parts = (
        query_LHD.clone(memory_format=torch.contiguous_format),
        key_LJD.repeat_interleave(repeats, dim=1),
        value_LJD.repeat_interleave(repeats, dim=1),
    )
    q, k, v = (tensor.transpose(0, 1)[None] for tensor in parts)
    out_1HLD = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask_LL, is_causal=mask_LL is None, scale=scale)
    return out_1HLD[0].transpose(0, 1)


def _rests(
    cache: KeyValueCache, query_THD: torch.Tensor, keys_NJSD: torch.Tensor, values_NJSD: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    """Return the attention [T - P, H, D] of what follows the shared prefix. Query heads of one key head become query positions."""
    layout = cache.layout
    num_prompts, num_kv_heads, _, head_size = keys_NJSD.shape
    repeats = query_THD.shape[1] // num_kv_heads
    places = query_THD.flatten(1).index_select(0, layout.queries).view(num_prompts, layout.widest, num_kv_heads, repeats, head_size)
    q = places.permute(0, 2, 3, 1, 4).reshape(num_prompts, num_kv_heads, -1, head_size)
    mask = layout.rest_mask(query_THD, window, repeats)
    out = torch.nn.functional.scaled_dot_product_attention(q, keys_NJSD, values_NJSD, attn_mask=mask, scale=scale)
    out = out.view(num_prompts, num_kv_heads, repeats, layout.widest, head_size).permute(0, 3, 1, 2, 4)
    return out.reshape(-1, *query_THD.shape[1:]).index_select(0, layout.slots)


def _decode(
    cache: KeyValueCache,
    layer: int,
    out_NHD: torch.Tensor,
    query_NHD: torch.Tensor,
    key_NJD: torch.Tensor,
    value_NJD: torch.Tensor,
    scale: float,
    window: int | None,
) -> None:
    """Attend from the newest token of each row to its cached sequence. Query heads of one key head become query positions."""
    keys_NJSD, values_NJSD = cache.append(layer, key_NJD, value_NJD)
    q = query_NHD.clone(memory_format=torch.contiguous_format).view(len(query_NHD), key_NJD.shape[1], -1, query_NHD.shape[2])
    mask = cache.mask(query_NHD, window)
    out = torch.nn.functional.scaled_dot_product_attention(q, keys_NJSD, values_NJSD, attn_mask=mask, scale=scale)
    out_NHD.copy_(out.reshape(out_NHD.shape))
