"""The factors that an adapter begins with, drawn ahead for jobs that wait while others train.

PEFT's initialisation: A uniform in +-1/sqrt(inputs) (Kaiming with a = sqrt(5)), drawn layer after layer in the model's order from a
generator seeded by the job; B zero. All numbers of an adapter lie in one flat vector, in which each factor's place is aligned as a
tensor of its own would be. Invariant: the numbers depend on seed, rank and layers only, never on where or when they were drawn.
"""

# P numbers of one adapter, R rank, I inputs, O outputs of a layer
import math
from collections.abc import Sequence
from functools import partial

import torch

from seal_runtime.engines.base import AdaptRequest
from seal_runtime.engines.grouped_linear import GroupedLinear
from seal_runtime.engines.side_thread import SideThread
from seal_runtime.seeds import derive_seed

_ALIGNMENT = 16
"""Numbers between aligned places: 64 bytes of float32."""


class InitialDraws:
    """Draws on a thread of its own for at most `max_ahead` jobs that wait, and at once for a job whose turn came sooner."""

    def __init__(self, max_ahead: int) -> None:
        self._max_ahead = max_ahead
        self._drawn: SideThread[torch.Tensor] = SideThread("initial-factors")

    @property
    def is_full(self) -> bool:
        """Say whether no further job is drawn for."""
        return len(self._drawn) >= self._max_ahead

    def begin(self, request: AdaptRequest, layers: Sequence[GroupedLinear]) -> None:
        """Draw for a job that waits, if that has not begun and there is room."""
        if not self.is_full and request.request_id not in self._drawn:
            self._drawn.submit(request.request_id, partial(draw_factors, request.seed, request.lora.rank, layers))

    def take(self, request: AdaptRequest, layers: Sequence[GroupedLinear]) -> torch.Tensor:
        """Return the numbers [P] of a job, in the computer's own memory."""
        if request.request_id in self._drawn:
            return self._drawn.take(request.request_id)
        return draw_factors(request.seed, request.lora.rank, layers)

    def forget(self, request_id: str) -> None:
        """Give up what was drawn for a job; unknown ids are ignored."""
        self._drawn.drop(request_id)

    def close(self) -> None:
        """Give up everything and end the thread. Idempotent."""
        self._drawn.close()


def draw_factors(seed: int, rank: int, layers: Sequence[GroupedLinear]) -> torch.Tensor:
    """Return the initial numbers [P] of the job with this seed."""
    size = sum(_aligned(rank * layer.in_features) + _aligned(rank * layer.out_features) for layer in layers)
    weight_P = torch.zeros(size)
    generator = torch.Generator().manual_seed(derive_seed(seed, "initialisation"))
    for weight_a_RI, _ in carve_factors(weight_P, rank, layers):
        torch.nn.init.kaiming_uniform_(weight_a_RI, a=math.sqrt(5), generator=generator)
    return weight_P


def carve_factors(flat_P: torch.Tensor, rank: int, layers: Sequence[GroupedLinear]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the places of each layer's A [R, I] and transposed B [R, O] in the flat vector, as views."""
    places, start = [], 0
    for layer in layers:
        views = []
        for width in (layer.in_features, layer.out_features):
            views.append(flat_P[start : start + rank * width].view(rank, width))
            start += _aligned(rank * width)
        places.append((views[0], views[1]))
    return places


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
