"""The pretraining optimizer: Muon for the hidden matrices, AdamW for embeddings and norms.

Muon (Jordan et al. 2024): W <- W - eta * sqrt(max(1, rows / columns)) * orthogonalise(momentum). Departures: decoupled weight decay is
added, and matrices of one shape are orthogonalised together.
"""

import torch
from torch import Tensor

from seal_runtime.pretrain.network import EMBEDDING, Weights

ADAM_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 0.05
_MOMENTUM = 0.95
# Quintic Newton-Schulz coefficients: five steps bring every singular value near 1.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class MuonAdamW:
    """Both optimizers behind one `step`. Holds the momentum; the weights belong to the caller."""

    def __init__(self, weights: Weights, muon_learning_rate: float) -> None:
        self._muon_learning_rate = muon_learning_rate
        self._parameters = list(weights.values())
        hidden = [weight for name, weight in weights.items() if weight.dim() == 2 and name != EMBEDDING]
        by_shape: dict[tuple[int, ...], list[Tensor]] = {}
        for weight in hidden:
            by_shape.setdefault(tuple(weight.shape), []).append(weight)
        self._muon_groups = [(group, [torch.zeros_like(weight) for weight in group]) for group in by_shape.values()]
        norms = [weight for weight in weights.values() if weight.dim() == 1]
        groups = [{"params": [weights[EMBEDDING]], "weight_decay": _WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW(groups, lr=ADAM_LEARNING_RATE, betas=(0.9, 0.98))

    def step(self, scale: float) -> None:
        """Clip the gradients to norm 1, take one step at `scale` times the peak learning rates, and clear the gradients."""
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for group in self._adam.param_groups:
            group["lr"] = ADAM_LEARNING_RATE * scale
        self._adam.step()
        for weights, momenta in self._muon_groups:
            _muon_step(weights, momenta, self._muon_learning_rate * scale)
        for parameter in self._parameters:
            parameter.grad = None


def _muon_step(weights: list[Tensor], momenta: list[Tensor], learning_rate: float) -> None:
    rows, columns = weights[0].shape
    updates = []
    with torch.no_grad():
        for weight, momentum in zip(weights, momenta, strict=True):
            assert weight.grad is not None, "every hidden matrix takes part in the loss"
            momentum.mul_(_MOMENTUM).add_(weight.grad)
            updates.append(weight.grad + _MOMENTUM * momentum)
        for weight, update in zip(weights, _orthogonalise(torch.stack(updates)), strict=True):
            weight.mul_(1 - learning_rate * _WEIGHT_DECAY).sub_(update, alpha=learning_rate * max(1.0, rows / columns) ** 0.5)


def _orthogonalise(matrices: Tensor) -> Tensor:
    """Return the nearest (semi-)orthogonal matrix of each of a stack, approximately."""
    transposed = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if transposed else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, second, third = _NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = first * x + (second * gram + third * gram @ gram) @ x
    return x.transpose(1, 2) if transposed else x
