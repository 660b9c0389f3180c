"""The training network computes what transformers' Llama computes."""

import torch
from transformers import AutoModelForCausalLM

from seal_runtime.pretrain.network import NetworkShape, initial_weights, logits_at_labels, save_model

SHAPE = NetworkShape(vocabulary=97, hidden=32, num_layers=2, num_heads=2, feed_forward=48)


def test_saved_model_gives_the_same_logits_in_transformers(tmp_path):
    torch.set_num_threads(1)
    weights = {name: weight.half().float() for name, weight in initial_weights(SHAPE, seed=3).items()}
    save_model(SHAPE, weights, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path), dtype=torch.float32)
    ids_BT = torch.randint(0, 97, (3, 20), generator=torch.Generator().manual_seed(1))
    logits_NV, labels_N = logits_at_labels(SHAPE, weights, ids_BT, ids_BT)
    expected_BTV = model(ids_BT).logits
    assert torch.equal(labels_N, ids_BT[:, 1:].reshape(-1))
    torch.testing.assert_close(logits_NV, expected_BTV[:, :-1].reshape(-1, 97), atol=1e-5, rtol=1e-5)


def test_saved_model_is_float16_and_readable_by_everyone(tmp_path):
    save_model(SHAPE, initial_weights(SHAPE, seed=0), tmp_path)
    assert AutoModelForCausalLM.from_pretrained(str(tmp_path)).dtype == torch.float16
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o044 == 0o044


def test_logits_are_given_only_where_there_is_a_label():
    weights = initial_weights(SHAPE, seed=0)
    ids_BT = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    labels_BT = torch.tensor([[-100, -100, 3, 4], [-100, 6, -100, -100]])
    logits_NV, labels_N = logits_at_labels(SHAPE, weights, ids_BT, labels_BT)
    assert labels_N.tolist() == [3, 4, 6]
    assert logits_NV.shape == (3, 97)


def test_initial_weights_depend_on_the_seed_only():
    one, same, other = (initial_weights(SHAPE, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
