"""Attention over packed sequences on CUDA: one variable-length kernel in half precision, else PyTorch's own, sequence by sequence.

Padding that carries loss needs a mask, which the variable-length kernel does not take.
"""

# T rows of the pass, H query heads, J key-value heads, D head size, S sequences
import torch

from seal_runtime.engines.attention_masks import hidden_pairs
from seal_runtime.engines.packed_batch import PackedBatch


def attend_sequences_cuda(
    batch: PackedBatch, query_1HTD: torch.Tensor, key_1JTD: torch.Tensor, value_1JTD: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    """Return [1, T, H, D]. The filling rows form a sequence of their own."""
    lengths = [*batch.lengths, *([batch.sizes[-1]] if batch.sizes[-1] else [])]
    if query_1HTD.dtype in (torch.bfloat16, torch.float16) and not any(batch.num_pads):
        return _variable_length(lengths, query_1HTD, key_1JTD, value_1JTD, scale, window)
    parts = []
    pads = [*batch.num_pads, 0][: len(lengths)]
    for q, k, v, num_pads in zip(query_1HTD.split(lengths, 2), key_1JTD.split(lengths, 2), value_1JTD.split(lengths, 2), pads, strict=True):
        hidden_LL = hidden_pairs(q.shape[2], num_pads, window, q.device)
        mask_LL = None if hidden_LL is None else ~hidden_LL
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask_LL, is_causal=mask_LL is None, scale=scale, enable_gqa=True
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2)


def _variable_length(
    lengths: list[int], query_1HTD: torch.Tensor, key_1JTD: torch.Tensor, value_1JTD: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    ends_S = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32).to(query_1HTD.device, non_blocking=True)
    longest = max(lengths)
    q_THD, k_TJD, v_TJD = (tensor[0].transpose(0, 1).contiguous() for tensor in (query_1HTD, key_1JTD, value_1JTD))
    left = -1 if window is None else window - 1
    out_THD = varlen_attn(
        q_THD,
        k_TJD,
        v_TJD,
        ends_S,
        ends_S,
        longest,
        longest,
        scale=scale,
        window_size=(left, 0),
        enable_gqa=q_THD.shape[1] != k_TJD.shape[1],
    )
    return out_THD[None]
