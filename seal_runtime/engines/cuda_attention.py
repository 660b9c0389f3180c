"""Attention over packed sequences on CUDA: one variable-length kernel in half precision, else PyTorch's own, sequence by sequence.

Padding that carries loss needs a mask, which the variable-length kernel does not take. Before its first use for a shape the kernel is tried
on two short sequences, forward and backward; where it is missing, refuses, or differs, the slower way is taken and said so in the log.
"""

# T rows of the pass, H query heads, J key-value heads, D head size, S sequences, L rows of one sequence
import inspect
import math
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any

import structlog
import torch

from seal_runtime.engines.attention_masks import hidden_pairs
from seal_runtime.engines.packed_batch import PackedBatch

log = structlog.get_logger()

_HALF = (torch.bfloat16, torch.float16)
_PROBED_LENGTHS = [5, 27]
_TOLERANCE = 0.05


def attend_sequences_cuda(
    batch: PackedBatch, query_1HTD: torch.Tensor, key_1JTD: torch.Tensor, value_1JTD: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    """Return [1, T, H, D]. The filling rows form a sequence of their own."""
    lengths = [*batch.lengths, *([batch.sizes[-1]] if batch.sizes[-1] else [])]
    num_heads, num_kv_heads, head_size = query_1HTD.shape[1], key_1JTD.shape[1], query_1HTD.shape[3]
    if query_1HTD.dtype in _HALF and not any(batch.num_pads):
        probed_window = None if window is None else _PROBED_LENGTHS[0] + 2
        if _variable_length_works(query_1HTD.device, query_1HTD.dtype, num_heads, num_kv_heads, head_size, scale, probed_window):
            return _variable_length(lengths, query_1HTD, key_1JTD, value_1JTD, scale, window)
    return _one_by_one(lengths, [*batch.num_pads, 0][: len(lengths)], query_1HTD, key_1JTD, value_1JTD, scale, window)


def _one_by_one(
    lengths: list[int],
    pads: list[int],
    query_1HTD: torch.Tensor,
    key_1JTD: torch.Tensor,
    value_1JTD: torch.Tensor,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    parts = []
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
    options = kernel_options(
        inspect.signature(varlen_attn).parameters.keys(),
        scale=scale,
        head_size=q_THD.shape[2],
        window=window,
        shares_heads=q_THD.shape[1] != k_TJD.shape[1],
    )
    out_THD: torch.Tensor = varlen_attn(q_THD, k_TJD, v_TJD, ends_S, ends_S, longest, longest, **options)
    return out_THD[None]


def kernel_options(accepted: AbstractSet[str], *, scale: float, head_size: int, window: int | None, shares_heads: bool) -> dict[str, Any]:
    """Return how causal attention is asked of a torch whose `varlen_attn` accepts these parameters.

    torch 2.10 has `is_causal` alone, 2.11 has `scale` and `window_size`, later ones want `enable_gqa` where heads share keys (before it
    the kernel took that unasked). Raises ValueError for what a version cannot do.
    """
    options: dict[str, Any] = {"enable_gqa": True} if shares_heads and "enable_gqa" in accepted else {}
    if "window_size" in accepted:
        return options | {"scale": scale, "window_size": (-1 if window is None else window - 1, 0)}
    if window is not None or not math.isclose(scale, head_size**-0.5):
        raise ValueError(
            f"this torch's varlen_attn takes neither a window nor a scale; torch {torch.__version__} is too old for this model"
        )
    return options | {"is_causal": True}


@cache
def _variable_length_works(
    device: torch.device, dtype: torch.dtype, num_heads: int, num_kv_heads: int, head_size: int, scale: float, window: int | None
) -> bool:
    """Say whether the kernel agrees with attention one by one for these heads, in the outputs and the gradients; log why not."""
    try:
        error = _largest_error(device, dtype, num_heads, num_kv_heads, head_size, scale, window)
    except (AttributeError, ImportError, RuntimeError, TypeError, ValueError) as failure:  # no such kernel, or not for such inputs
        log.warning("variable_length_attention_unusable", reason=str(failure)[:300])
        return False
    if not error < _TOLERANCE:
        log.warning("variable_length_attention_unusable", reason=f"it differs from attention one by one by {error:.2g}")
    return error < _TOLERANCE


def _largest_error(
    device: torch.device, dtype: torch.dtype, num_heads: int, num_kv_heads: int, head_size: int, scale: float, window: int | None
) -> float:
    generator, num_rows = torch.Generator().manual_seed(0), sum(_PROBED_LENGTHS)
    heads = (num_heads, num_kv_heads, num_kv_heads)
    inputs = [torch.randn(1, count, num_rows, head_size, generator=generator).to(device, dtype) for count in heads]
    gradient_1THD = torch.randn(1, num_rows, num_heads, head_size, generator=generator).to(device, dtype)
    results = []
    for at_once in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        with torch.enable_grad():
            if at_once:
                out_1THD = _variable_length(_PROBED_LENGTHS, leaves[0], leaves[1], leaves[2], scale, window)
            else:
                out_1THD = _one_by_one(_PROBED_LENGTHS, [0, 0], leaves[0], leaves[1], leaves[2], scale, window)
            out_1THD.backward(gradient_1THD)
        results.append([out_1THD.detach(), *(leaf.grad for leaf in leaves)])
    errors = [float((found.float() - right.float()).abs().max() / right.float().abs().max()) for found, right in zip(*results, strict=True)]
    return math.inf if any(map(math.isnan, errors)) else max(errors)
