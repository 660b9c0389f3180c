"""Cross-entropy of the next token, with its gradient with respect to the hidden states, a chunk of positions at a time.

    loss_k = sum_n w_n * nll_n / N_k        (N_k: loss tokens of group k in its optimizer step, w_n: weight of the sequence)

Logits exist only for positions that carry loss, for at most `chunk_tokens` at once, and are gone when their gradient is made: nothing of
vocabulary size waits for the backward pass. Invariant on CPU: what a group computes does not depend on its neighbours, because chunks
hold one group's positions, or because products do not depend on their shape (`exact_product`).
"""

# T rows of the pass, K groups, D width, V vocabulary, N loss tokens (of all groups), B positions of a chunk
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from seal_runtime.engines.exact_product import TILE_ROWS, exact_product
from seal_runtime.engines.packed_batch import PackedBatch


@dataclass(slots=True, kw_only=True)
class LossTargets:
    """Where one group has loss: rows counted from the group's first row, what they shall predict, and each token's share of the loss."""

    rows_N: torch.Tensor
    targets_N: torch.Tensor
    shares_N: torch.Tensor


def token_loss(
    hidden_TD: torch.Tensor, head_VD: torch.Tensor, batch: PackedBatch, targets: Sequence[LossTargets], chunk_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of each group [K] and the gradient of their sum with respect to the hidden states [T, D].

    Runs without autograd: the caller continues with `hidden_TD.backward(gradient)`.
    """
    device = hidden_TD.device
    counts = [len(target.rows_N) for target in targets]
    starts_K = torch.tensor([0, *batch.sizes[: len(targets) - 1]]).cumsum(0)
    rows_N = torch.cat([target.rows_N for target in targets]) + torch.repeat_interleave(starts_K, torch.tensor(counts))
    rows_N, targets_N, shares_N = (
        tensor.to(device)
        for tensor in (rows_N, torch.cat([target.targets_N for target in targets]), torch.cat([target.shares_N for target in targets]))
    )
    with torch.no_grad():
        hidden, gradient_TD, likelihoods = hidden_TD.detach(), torch.zeros_like(hidden_TD), []
        for chunk in _chunks(counts, chunk_tokens, batch.is_exact or batch.stacked is not None, batch.is_exact):
            rows_B = rows_N[chunk]
            nll_B, gradient_TD[rows_B] = _chunk_loss(hidden[rows_B], head_VD, targets_N[chunk], shares_N[chunk], batch.is_exact)
            likelihoods.append(nll_B)
        return torch.stack([part.sum() for part in torch.cat(likelihoods).mul_(shares_N).split(counts)]), gradient_TD


def _chunks(counts: Sequence[int], chunk_tokens: int, is_common: bool, is_exact: bool) -> list[slice]:
    """Cut the loss tokens into chunks: across groups, or each group's by itself. Exact ones are whole tiles."""
    chunks, start = [], 0
    if is_exact:
        chunk_tokens = max(TILE_ROWS, chunk_tokens // TILE_ROWS * TILE_ROWS)
    for count in [sum(counts)] if is_common else counts:
        chunks += [slice(first, min(first + chunk_tokens, start + count)) for first in range(start, start + count, chunk_tokens)]
        start += count
    return chunks


def _chunk_loss(
    hidden_BD: torch.Tensor, head_VD: torch.Tensor, targets_B: torch.Tensor, shares_B: torch.Tensor, is_exact: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the negative log-likelihoods [B] and the gradient [B, D] of sum(shares * nll).

    The kernels are those of cross_entropy and its backward pass: another rounding would show in the weights whose gradient nearly vanishes,
    since AdamW makes their step as large as any other. They work row by row, so a row's bits do not depend on how many there are.
    """
    size = len(hidden_BD)
    product = torch.mm
    if is_exact:
        product = exact_product
        hidden_BD, targets_B, shares_B = (_filled(tensor, -size % TILE_ROWS) for tensor in (hidden_BD, targets_B, shares_B))
    logits_BV = product(hidden_BD, head_VD.t()).float()
    logprobs_BV = torch.log_softmax(logits_BV, dim=-1)
    del logits_BV
    gradient_BV = torch.zeros_like(logprobs_BV).scatter_(1, targets_B[:, None], -shares_B[:, None])
    gradient_BV = torch.ops.aten._log_softmax_backward_data(gradient_BV, logprobs_BV, 1, torch.float32)
    nll_B = -logprobs_BV.gather(1, targets_B[:, None])[:, 0]
    return nll_B[:size], product(gradient_BV.to(head_VD.dtype), head_VD)[:size]


def _filled(tensor: torch.Tensor, num_rows: int) -> torch.Tensor:
    return torch.cat([tensor, tensor.new_zeros(num_rows, *tensor.shape[1:])])
