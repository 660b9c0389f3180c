"""Cross-entropy of the next token, with its gradient with respect to the hidden states, without keeping the logits.

    loss_k = sum_n w_n * nll_n / N_k        (N_k: loss tokens of group k in its optimizer step, w_n: weight of the sequence)

Logits exist only for positions that carry loss, and only for a block of rows at a time.
"""

# T rows of the pass, D width, V vocabulary, N loss tokens of a group
from dataclasses import dataclass

import torch

from seal_runtime.engines.packed_batch import PackedBatch

_MAX_LOGITS = 1 << 24
"""Logits that exist at once, in numbers (64 MB in float32)."""


@dataclass(slots=True, kw_only=True)
class LossTargets:
    """Where one group has loss: rows counted from the group's first row, what they shall predict, and each token's share of the loss."""

    rows_N: torch.Tensor
    targets_N: torch.Tensor
    shares_N: torch.Tensor


def token_loss(
    hidden_TD: torch.Tensor, head_VD: torch.Tensor, batch: PackedBatch, targets: list[LossTargets]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of each group [K] and the gradient of their sum with respect to the hidden states [T, D].

    Runs without autograd: the caller continues with `hidden_TD.backward(gradient)`.
    """
    with torch.no_grad():
        gradient_TD = torch.zeros_like(hidden_TD)
        hidden, losses, start = hidden_TD.detach(), [], 0
        if batch.stacked is not None:
            return _stacked_loss(hidden, gradient_TD, head_VD, batch, targets), gradient_TD
        for size, target in zip(batch.sizes, targets, strict=False):
            rows_N, targets_N, shares_N = (
                tensor.to(hidden.device) for tensor in (target.rows_N + start, target.targets_N, target.shares_N)
            )
            nll_N, gradient_ND = _block_loss(hidden[rows_N], head_VD, targets_N, shares_N)
            gradient_TD[rows_N] = gradient_ND
            losses.append((nll_N * shares_N).sum())
            start += size
        return torch.stack(losses), gradient_TD


def _stacked_loss(
    hidden_TD: torch.Tensor, gradient_TD: torch.Tensor, head_VD: torch.Tensor, batch: PackedBatch, targets: list[LossTargets]
) -> torch.Tensor:
    """Compute the loss of all groups in common products."""
    device = hidden_TD.device
    starts = [sum(batch.sizes[:position]) for position in range(len(targets))]
    rows_N = torch.cat([target.rows_N + start for start, target in zip(starts, targets, strict=True)]).to(device)
    shares_N = torch.cat([target.shares_N for target in targets]).to(device)
    nll_N, gradient_ND = _block_loss(hidden_TD[rows_N], head_VD, torch.cat([target.targets_N for target in targets]).to(device), shares_N)
    gradient_TD[rows_N] = gradient_ND
    return torch.stack([part.sum() for part in (nll_N * shares_N).split([len(target.rows_N) for target in targets])])


def _block_loss(
    hidden_ND: torch.Tensor, head_VD: torch.Tensor, targets_N: torch.Tensor, shares_N: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the negative log-likelihoods and the gradient of sum(shares * nll), a block of rows at a time."""
    rows = max(1, _MAX_LOGITS // head_VD.shape[0])
    likelihoods, gradients = [], []
    for hidden_BD, targets_B, shares_B in zip(hidden_ND.split(rows), targets_N.split(rows), shares_N.split(rows), strict=True):
        logits_BV = torch.mm(hidden_BD, head_VD.t()).float()
        logprobs_BV = torch.log_softmax(logits_BV, dim=-1)
        likelihoods.append(-logprobs_BV.gather(1, targets_B[:, None])[:, 0])
        residual_BV = logprobs_BV.exp_().mul_(shares_B[:, None])
        residual_BV.scatter_add_(1, targets_B[:, None], -shares_B[:, None])
        gradients.append(torch.mm(residual_BV.to(head_VD.dtype), head_VD))
    return torch.cat(likelihoods), torch.cat(gradients)
