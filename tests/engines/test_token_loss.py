"""The chunked loss: equal to cross-entropy over all logits, and never more logits than asked for."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from seal_runtime.engines.lora_group import Group
from seal_runtime.engines.packed_batch import PackedBatch
from seal_runtime.engines.stacked_factors import StackedFactors
from seal_runtime.engines.token_loss import LossTargets, token_loss

WIDTH, VOCABULARY = 12, 50
LENGTHS = (90, 40, 7)


class _WidestLogits(TorchDispatchMode):
    """Remembers the most rows of vocabulary size that any operation returned."""

    rows = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dim() > 1 and result.shape[-1] == VOCABULARY and "expand" not in str(func):
            self.rows = max(self.rows, result.numel() // VOCABULARY)
        return result


def _batch(mode):
    groups = [Group(ids_T=torch.zeros(n, dtype=torch.long), positions_T=torch.arange(n), lengths=[n]) for n in LENGTHS]
    stacked = StackedFactors(groups, torch.float32, torch.device("cpu")) if mode == "packed" else None
    return PackedBatch(groups, "sequences", torch.device("cpu"), stacked, is_exact=mode == "exact")


def _problem(batch):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(batch.num_rows, WIDTH, generator=generator)
    head = torch.randn(VOCABULARY, WIDTH, generator=generator)
    targets = []
    for length in LENGTHS:
        rows = torch.arange(1, length)
        ids = torch.randint(0, VOCABULARY, (length - 1,), generator=generator)
        targets.append(LossTargets(rows_N=rows, targets_N=ids, shares_N=torch.rand(length - 1, generator=generator)))
    return hidden, head, targets


def _plain(hidden, head, targets):
    hidden = hidden.clone().requires_grad_()
    start, losses = 0, []
    for length, target in zip(LENGTHS, targets, strict=True):
        logits = hidden[start + target.rows_N] @ head.t()
        losses.append((torch.nn.functional.cross_entropy(logits, target.targets_N, reduction="none") * target.shares_N).sum())
        start += length
    sum(losses).backward()
    return torch.stack(losses).detach(), hidden.grad


@pytest.mark.parametrize("mode", ["grouped", "exact", "packed"])
@pytest.mark.parametrize("chunk_tokens", [64, 70, 10_000])
def test_any_chunk_gives_the_loss_and_gradient_of_cross_entropy(mode, chunk_tokens):
    batch = _batch(mode)
    hidden, head, targets = _problem(batch)
    losses, gradient = token_loss(hidden, head, batch, targets, chunk_tokens)
    expected_losses, expected_gradient = _plain(hidden, head, targets)
    assert torch.allclose(losses, expected_losses, rtol=1e-5)
    assert torch.allclose(gradient, expected_gradient, atol=1e-5)


@pytest.mark.parametrize("mode", ["grouped", "exact", "packed"])
@pytest.mark.parametrize(("chunk_tokens", "most"), [(64, 64), (70, 70), (10_000, 192)])
def test_no_more_logits_exist_than_a_chunk_has(mode, chunk_tokens, most):
    batch = _batch(mode)
    with _WidestLogits() as widest:
        token_loss(*_problem(batch)[:2], batch, _problem(batch)[2], chunk_tokens)
    assert 0 < widest.rows <= most


def test_is_exact_the_chunk_changes_no_bit():
    batch = _batch("exact")
    hidden, head, targets = _problem(batch)
    (losses, gradient), *others = (token_loss(hidden, head, batch, targets, chunk_tokens) for chunk_tokens in (10_000, 64, 70, 128))
    for other_losses, other_gradient in others:
        assert torch.equal(losses, other_losses)
        assert torch.equal(gradient, other_gradient)
