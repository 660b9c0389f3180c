"""The state of one adapter in training: its factors, its AdamW, its schedule.

Invariant: nothing here depends on other adapters. The numbers lie in one flat vector (`initial_factors`), so that norm, clip and
optimizer step are row operations.
"""

# P numbers of one adapter
import math
from collections.abc import Sequence

import torch
from torch.optim.adamw import adamw

from seal_runtime.engines.adapter_files import LoraAdapter
from seal_runtime.engines.base import AdaptOutput, AdaptRequest
from seal_runtime.engines.grouped_linear import GroupedLinear
from seal_runtime.engines.initial_factors import carve_factors
from seal_runtime.engines.lora_group import LoraFactors
from seal_runtime.engines.micro_batches import MicroBatch, MicroBatches
from seal_runtime.engines.schedules import count_steps, learning_rate
from seal_runtime.engines.training_sequences import EncodedSequences
from seal_runtime.errors import AdaptError

_MAX_WEIGHT = 1e6
"""Norm layers hide the explosion of a weight from the loss, so the weights are looked at too."""


class TrainingSlot:
    """One adapter from its initial numbers [P], which become its own, to its export."""

    def __init__(
        self,
        request: AdaptRequest,
        encoded: EncodedSequences,
        layers: Sequence[GroupedLinear],
        targets: tuple[str, ...],
        initial_P: torch.Tensor,
    ) -> None:
        self.request = request
        self.num_steps = count_steps(request.optim, len(encoded.sequences))
        self.step = 0
        self._encoded = encoded
        self._layers = layers
        self._targets = targets
        self._losses: list[float] = []
        self._weight_P = initial_P
        self._gradient_P, self._mean_P, self._square_P = (torch.zeros_like(initial_P) for _ in range(3))
        self._count = torch.zeros((), device=initial_P.device)
        self.factors = self._factors()
        self._batches = MicroBatches(request, encoded, self.factors)

    @property
    def is_done(self) -> bool:
        """Say whether the last step has been taken."""
        return self.step >= self.num_steps

    def next_micro_batches(self, max_tokens: int) -> list[MicroBatch]:
        """Return the parts of the next optimizer step, split where it exceeds `max_tokens`; together they make one loss."""
        return self._batches.next_step(max_tokens)

    def gradient_norm(self) -> torch.Tensor:
        """Return the norm of the gradient, on the device."""
        return torch.linalg.vector_norm(self._gradient_P)

    def apply_gradients(self, loss: float, norm: float) -> None:
        """Clip, step the optimizer and count. Raises AdaptError when the loss or the gradient is not finite."""
        optim = self.request.optim
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise AdaptError(
                f"training diverged at step {self.step + 1} of {self.num_steps} (loss {loss:.4g}, gradient norm {norm:.4g}) with "
                f"learning rate {optim.learning_rate:g}: lower trainer.optim.learning_rate"
            )
        if 0.0 < optim.max_grad_norm < norm:
            self._gradient_P.mul_(optim.max_grad_norm / (norm + 1e-6))
        self._adamw_step(learning_rate(optim, self.step, self.num_steps))
        self._losses.append(loss)
        self.step += 1

    def _adamw_step(self, rate: float) -> None:
        """Step as `torch.optim.AdamW(fused=True)` does, without what that class does around its kernel at every step."""
        adamw(
            [self._weight_P],
            [self._gradient_P],
            [self._mean_P],
            [self._square_P],
            [],
            [self._count],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            lr=rate,
            weight_decay=self.request.optim.weight_decay,
        )

    def adapter(self) -> LoraAdapter:
        """Return the trained adapter in PEFT's layout, off the device; on CPU its tensors are the slot's own.

        Raises AdaptError when a weight is not finite or beyond all use.
        """
        largest = float(self._weight_P.abs().max())
        if not largest < _MAX_WEIGHT:
            raise AdaptError(
                f"training diverged: after {self.step} steps with learning rate {self.request.optim.learning_rate:g} a weight is "
                f"{largest:.3g}: lower trainer.optim.learning_rate"
            )
        lora = self.request.lora
        places = carve_factors(_on_host(self._weight_P), lora.rank, self._layers)
        factors = {
            layer.name: (weight_a_RI, weight_b_RO.t()) for layer, (weight_a_RI, weight_b_RO) in zip(self._layers, places, strict=True)
        }
        return LoraAdapter(
            rank=lora.rank, alpha=lora.alpha, targets=self._targets, is_transposed=self._layers[0].is_transposed, factors=factors
        )

    def output(self) -> AdaptOutput:
        """Return the report of a finished training."""
        return AdaptOutput(
            request_id=self.request.request_id,
            output_dir=self.request.output_dir,
            num_steps=self.step,
            num_tokens=self._encoded.num_tokens,
            num_truncated=self._encoded.num_truncated,
            first_loss=self._losses[0],
            final_loss=self._losses[-1],
        )

    def _factors(self) -> dict[int, LoraFactors]:
        lora = self.request.lora
        weights, gradients = (carve_factors(flat_P, lora.rank, self._layers) for flat_P in (self._weight_P, self._gradient_P))
        return {
            layer.index: LoraFactors(
                weight_a_RI=weight[0], grad_a_RI=gradient[0], weight_b_RO=weight[1], grad_b_RO=gradient[1], scale=lora.alpha / lora.rank
            )
            for layer, weight, gradient in zip(self._layers, weights, gradients, strict=True)
        }


def _on_host(weight_P: torch.Tensor) -> torch.Tensor:
    """Return the numbers off the device; through pinned memory, which is kept for the next adapter, a copy takes a few milliseconds."""
    if weight_P.device.type == "cpu":
        return weight_P
    return torch.empty(weight_P.shape, dtype=weight_P.dtype, pin_memory=True).copy_(weight_P)
