"""Whether this machine's grouped matrix products do what `stacked_factors` needs: try them once on small uneven groups and compare.

A wrong assumption about them (dtypes, strides, what lies past the last offset, the backward pass) then costs speed and never a result.
"""

# K groups, T rows, R rank, I inputs, O outputs
import math

import structlog
import torch

from seal_runtime.engines.lora_group import Group, LoraFactors
from seal_runtime.engines.stacked_factors import StackedFactors

log = structlog.get_logger()

_SIZES, _NUM_ROWS = (3, 17, 1, 30), 64
_RANKS, _INPUTS, _OUTPUTS, _SCALE = (4, 8, 1, 16), 64, 96, 0.5
_WIDTH_BYTES = 16
_TOLERANCE = {torch.float32: 1e-4}
_LOOSE = 0.05


def grouped_products_work(device: torch.device, dtype: torch.dtype, widths: set[int]) -> bool:
    """Say whether adapters on layers of these widths can be multiplied in grouped products; log why not."""
    odd = sorted(width for width in widths if width * dtype.itemsize % _WIDTH_BYTES)
    if odd:
        log.warning("grouped_products_unusable", reason=f"layers of {odd[0]} numbers: rows must be whole {_WIDTH_BYTES} bytes")
        return False
    try:
        error = _largest_error(device, dtype)
    except (AttributeError, RuntimeError, TypeError) as failure:  # no such product, or one that refuses; the loop needs none
        log.warning("grouped_products_unusable", reason=str(failure)[:300])
        return False
    works = error < _TOLERANCE.get(dtype, _LOOSE)
    if not works:
        log.warning("grouped_products_unusable", reason=f"they differ from a loop by {error:.2g} of the largest number")
    return works


def _largest_error(device: torch.device, dtype: torch.dtype) -> float:
    """Return the largest relative difference to a loop, over the outputs and all three gradients."""
    generator = torch.Generator().manual_seed(0)
    groups = [_group(size, rank, device, generator) for size, rank in zip(_SIZES, _RANKS, strict=True)]
    x_TI = torch.randn(_NUM_ROWS, _INPUTS, generator=generator).to(device, dtype).requires_grad_()
    gradient_TO = torch.randn(_NUM_ROWS, _OUTPUTS, generator=generator).to(device, dtype)
    gradient_TO[sum(_SIZES) :] = 0
    stacked = StackedFactors(groups, dtype, device)
    stacked.require_gradients()
    stacked.place(_SIZES, _NUM_ROWS)
    with torch.enable_grad():
        delta_TO = stacked.delta(0, x_TI)
        delta_TO.backward(gradient_TO)
    stacked.collect_gradients()
    assert x_TI.grad is not None
    errors, start = [], 0
    for group, size in zip(groups, _SIZES, strict=True):
        rows, own = slice(start, start + size), group.factors[0]
        assert own.grad_a_RI is not None
        assert own.grad_b_RO is not None
        x, gradient = x_TI.detach()[rows].float(), gradient_TO[rows].float()
        a, b = own.weight_a_RI, own.weight_b_RO
        errors += [
            _error(delta_TO.detach()[rows], _SCALE * (x @ a.t()) @ b),
            _error(x_TI.grad[rows], _SCALE * (gradient @ b.t()) @ a),
            _error(own.grad_a_RI, _SCALE * (gradient @ b.t()).t() @ x),
            _error(own.grad_b_RO, _SCALE * (x @ a.t()).t() @ gradient),
        ]
        start += size
    return max(errors)


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    error = float((found.float() - expected).abs().max() / expected.abs().max())
    return math.inf if math.isnan(error) else error


def _group(size: int, rank: int, device: torch.device, generator: torch.Generator) -> Group:
    weights = [torch.randn(rank, width, generator=generator).to(device) for width in (_INPUTS, _OUTPUTS)]
    gradients = [torch.zeros_like(weight) for weight in weights]
    factors = LoraFactors(weight_a_RI=weights[0], weight_b_RO=weights[1], scale=_SCALE, grad_a_RI=gradients[0], grad_b_RO=gradients[1])
    return Group(ids_T=torch.zeros(size, dtype=torch.long), positions_T=torch.arange(size), lengths=[size], factors={0: factors})
