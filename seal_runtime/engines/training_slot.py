"""The state of one adapter in training: its factors, its AdamW, its schedule, its data order.

Invariant: nothing here depends on other adapters. The numbers lie in one flat vector, so that norm, clip and optimizer step are row
operations; each factor's place is aligned as a tensor of its own would be.

Initialisation is PEFT's: A uniform in +-1/sqrt(inputs) (Kaiming with a = sqrt(5)), drawn layer after layer in the model's order from
a generator seeded by the job; B zero.
"""

# P numbers of one adapter (or pads of one sequence), R rank, I inputs, O outputs of a layer
import math
from collections.abc import Sequence

import torch

from seal_runtime.engines.adapter_files import LoraAdapter
from seal_runtime.engines.base import AdaptOutput, AdaptRequest
from seal_runtime.engines.grouped_linear import GroupedLinear
from seal_runtime.engines.lora_group import Group, LoraFactors
from seal_runtime.engines.schedules import count_steps, data_order, learning_rate
from seal_runtime.engines.token_loss import LossTargets
from seal_runtime.engines.training_sequences import EncodedSequence, EncodedSequences
from seal_runtime.errors import AdaptError
from seal_runtime.seeds import derive_seed

_ALIGNMENT = 16
"""Numbers between aligned places: 64 bytes of float32."""
_MAX_WEIGHT = 1e6
"""Norm layers hide the explosion of a weight from the loss, so the weights are looked at too."""


class TrainingSlot:
    """One adapter from initialisation to export."""

    def __init__(
        self,
        request: AdaptRequest,
        encoded: EncodedSequences,
        layers: Sequence[GroupedLinear],
        targets: tuple[str, ...],
        device: torch.device,
    ) -> None:
        self.request = request
        self.num_steps = count_steps(request.optim, len(encoded.sequences))
        self.step = 0
        self._encoded = encoded
        self._layers = layers
        self._targets = targets
        self._batches = data_order(request.optim, len(encoded.sequences), request.seed)
        self._padding = torch.Generator().manual_seed(derive_seed(request.seed, "padding"))
        self._losses: list[float] = []
        rank = request.lora.rank
        size = sum(_aligned(rank * layer.in_features) + _aligned(rank * layer.out_features) for layer in layers)
        self._weight_P = torch.nn.Parameter(torch.zeros(size, device=device), requires_grad=True)
        self._weight_P.grad = torch.zeros(size, device=device)
        self.factors = self._carve(rank, request.lora.alpha / rank)
        self._initialise()
        self._optimizer = torch.optim.AdamW(
            [self._weight_P], lr=0.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=request.optim.weight_decay, fused=True
        )

    @property
    def is_done(self) -> bool:
        """Say whether the last step has been taken."""
        return self.step >= self.num_steps

    def next_micro_batches(self, max_tokens: int) -> list[tuple[Group, LossTargets]]:
        """Return the sequences of the next optimizer step, split where they exceed `max_tokens`; together they make one loss."""
        sequences = [self._encoded.sequences[index] for index in next(self._batches)]
        num_loss_tokens = sum(sequence.num_loss_tokens for sequence in sequences)
        parts: list[list[EncodedSequence]] = [[]]
        for sequence in sequences:
            if parts[-1] and sum(other.num_rows for other in parts[-1]) + sequence.num_rows > max_tokens:
                parts.append([])
            parts[-1].append(sequence)
        return [self._micro_batch(part, num_loss_tokens, accumulate=position > 0) for position, part in enumerate(parts)]

    def gradient_norm(self) -> torch.Tensor:
        """Return the norm of the gradient, on the device."""
        assert self._weight_P.grad is not None
        return torch.linalg.vector_norm(self._weight_P.grad)

    def apply_gradients(self, loss: float, norm: float) -> None:
        """Clip, step the optimizer and count. Raises AdaptError when the loss or the gradient is not finite."""
        optim = self.request.optim
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise AdaptError(
                f"training diverged at step {self.step + 1} of {self.num_steps} (loss {loss:.4g}, gradient norm {norm:.4g}) with "
                f"learning rate {optim.learning_rate:g}: lower trainer.optim.learning_rate"
            )
        assert self._weight_P.grad is not None
        if 0.0 < optim.max_grad_norm < norm:
            self._weight_P.grad.mul_(optim.max_grad_norm / (norm + 1e-6))
        self._optimizer.param_groups[0]["lr"] = learning_rate(optim, self.step, self.num_steps)
        self._optimizer.step()
        self._losses.append(loss)
        self.step += 1

    def adapter(self) -> LoraAdapter:
        """Return the trained adapter in PEFT's layout. Raises AdaptError when a weight is not finite or beyond all use."""
        largest = float(self._weight_P.detach().abs().max())
        if not largest < _MAX_WEIGHT:
            raise AdaptError(
                f"training diverged: after {self.step} steps with learning rate {self.request.optim.learning_rate:g} a weight is "
                f"{largest:.3g}: lower trainer.optim.learning_rate"
            )
        factors = {}
        for layer in self._layers:
            own = self.factors[layer.index]
            factors[layer.name] = (own.weight_a_RI.detach(), own.weight_b_RO.detach().t())
        lora = self.request.lora
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

    def _carve(self, rank: int, scale: float) -> dict[int, LoraFactors]:
        weight_P, gradient_P = self._weight_P.detach(), self._weight_P.grad
        assert gradient_P is not None
        factors, start = {}, 0
        for layer in self._layers:
            views = []
            for width in (layer.in_features, layer.out_features):
                views += [flat[start : start + rank * width].view(rank, width) for flat in (weight_P, gradient_P)]
                start += _aligned(rank * width)
            factors[layer.index] = LoraFactors(
                weight_a_RI=views[0], grad_a_RI=views[1], weight_b_RO=views[2], grad_b_RO=views[3], scale=scale
            )
        return factors

    def _initialise(self) -> None:
        generator = torch.Generator().manual_seed(derive_seed(self.request.seed, "initialisation"))
        for layer in self._layers:
            weight_RI = torch.empty(self.request.lora.rank, layer.in_features)
            torch.nn.init.kaiming_uniform_(weight_RI, a=math.sqrt(5), generator=generator)
            self.factors[layer.index].weight_a_RI.copy_(weight_RI)

    def _micro_batch(self, part: Sequence[EncodedSequence], num_loss_tokens: int, accumulate: bool) -> tuple[Group, LossTargets]:
        ids, positions, rows, targets, shares, start = [], [], [], [], [], 0
        for sequence in part:
            length, num_targets, first = len(sequence.ids_L), len(sequence.targets_N), sequence.first_loss_position
            share = sequence.weight / num_loss_tokens
            ids.append(sequence.ids_L)
            positions.append(torch.arange(length))
            rows.append(torch.arange(start + first, start + first + num_targets))
            targets.append(sequence.targets_N)
            shares.append(torch.full((num_targets,), share))
            if sequence.num_pads:
                end_ids_P = torch.full((sequence.num_pads,), self._encoded.end_token_id)
                ids.append(end_ids_P)
                positions.append(self._draw_padding(sequence))
                rows.append(torch.arange(start + length, start + sequence.num_rows))
                targets.append(end_ids_P)
                shares.append(torch.full((sequence.num_pads,), share * len(sequence.pad_positions) / sequence.num_pads))
            start += sequence.num_rows
        group = Group(
            ids_T=torch.cat(ids),
            positions_T=torch.cat(positions),
            lengths=[sequence.num_rows for sequence in part],
            num_pads=[sequence.num_pads for sequence in part],
            factors=self.factors,
            accumulate=accumulate,
        )
        return group, LossTargets(rows_N=torch.cat(rows), targets_N=torch.cat(targets), shares_N=torch.cat(shares))

    def _draw_padding(self, sequence: EncodedSequence) -> torch.Tensor:
        """Return the positions of padding that carry loss in this step, in their order."""
        if sequence.num_pads == len(sequence.pad_positions):
            return torch.tensor(sequence.pad_positions)
        drawn_P = torch.randperm(len(sequence.pad_positions), generator=self._padding)[: sequence.num_pads]
        return drawn_P.sort().values + sequence.pad_positions.start


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
