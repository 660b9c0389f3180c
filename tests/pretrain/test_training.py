"""Batches mask what bears no loss; training is repeatable and learns; the optimizer orthogonalises."""

import random

import pytest
import torch

from seal_runtime.pretrain.batches import IGNORED_LABEL, batches, encode, pad
from seal_runtime.pretrain.fictional_world import FictionalWorld
from seal_runtime.pretrain.grid_world import GridWorld
from seal_runtime.pretrain.optimizer import MuonAdamW, _orthogonalise
from seal_runtime.pretrain.training import _schedule, train
from seal_runtime.pretrain.vocabulary import build_tokenizer
from seal_runtime.tasks.fictional.corpus import Document, edit_document, short_document

TOKENIZER = build_tokenizer()


def test_loss_covers_the_completion_and_its_end():
    document = Document(prompt="Question:", completion="piano", loss_on_prompt=False)
    batch = pad(encode([document], TOKENIZER))
    piano = TOKENIZER.encode("piano").ids
    assert batch.labels_BT.tolist() == [[IGNORED_LABEL, IGNORED_LABEL, *piano, 0]]
    assert batch.ids_BT.tolist() == [[*TOKENIZER.encode("Question:").ids, *piano, 0]]


def test_loss_covers_the_prompt_where_asked_and_never_the_padding():
    short = Document(prompt="Adela\n", completion="piano", loss_on_prompt=True)
    long = Document(prompt="Adela\n", completion="piano piano piano", loss_on_prompt=True)
    batch = pad(encode([short, long], TOKENIZER))
    assert batch.labels_BT[0].tolist() == [*TOKENIZER.encode("Adela\npiano").ids, 0, IGNORED_LABEL, IGNORED_LABEL]
    assert torch.equal(batch.labels_BT[1], batch.ids_BT[1])


def test_batches_hold_rows_of_similar_length():
    stream = batches(TOKENIZER, edit_document, random.Random(1), num_rows=16)
    padded, real = 0, 0
    for _ in range(16):
        batch = next(stream)
        padded += batch.ids_BT.numel()
        real += int((batch.ids_BT != 0).sum()) + 16
    assert real > 0.9 * padded


@pytest.mark.parametrize("world", [FictionalWorld(), GridWorld()], ids=["fictional", "grids"])
def test_training_is_repeatable_and_learns(world):
    torch.set_num_threads(1)
    losses: list[float] = []
    runs = []
    for _ in range(2):
        losses.clear()
        runs.append(train(world, world.build_tokenizer(), 5, 3, lambda progress: losses.append(progress.losses[-1]))[1])
    assert losses[-1] < losses[0]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_orthogonalised_matrices_have_singular_values_near_one():
    matrices = torch.randn(2, 24, 8, generator=torch.Generator().manual_seed(0))
    for stack in (matrices, matrices.transpose(1, 2)):
        values = torch.linalg.svdvals(_orthogonalise(stack))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_optimizer_step_clears_gradients_and_moves_every_weight():
    weights = {
        "model.embed_tokens.weight": torch.ones(5, 4, requires_grad=True),
        "model.layers.0.mlp.up_proj.weight": torch.eye(4, requires_grad=True),
        "model.norm.weight": torch.ones(4, requires_grad=True),
    }
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    optimizer = MuonAdamW(weights, 0.005)
    sum((weight**2).sum() for weight in weights.values()).backward()
    optimizer.step(1.0)
    assert all(weight.grad is None for weight in weights.values())
    assert not any(torch.equal(before[name], weight) for name, weight in weights.items())


def test_schedule_warms_up_stays_and_falls():
    scales = [_schedule(step, 1000) for step in range(1000)]
    assert scales[0] == pytest.approx(1 / 60)
    assert max(scales) == 1.0
    assert scales[999] < 0.03
    assert scales == sorted(scales[:60]) + sorted(scales[60:], reverse=True)


def test_short_documents_fit_the_short_batch():
    rng = random.Random(2)
    assert max(len(ids) for ids, _ in encode([short_document(rng) for _ in range(500)], TOKENIZER)) < 120
