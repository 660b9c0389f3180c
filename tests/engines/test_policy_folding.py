"""Folding leaves the weights of the policy that it names, whatever fails on the way."""

import pytest
import torch

from seal_runtime.engines import policy_folding
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.packed_model import PackedModel


def _weights(model):
    return torch.cat([layer.weight_OI.flatten() for layer in model.layers])


@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2"])
def test_a_fold_that_breaks_half_way_is_not_taken_for_any_policy(family, adapt_request, drain, monkeypatch):
    request = adapt_request(1, lora={"targets": ("all-linear",)})
    drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=1), [request])
    model, chain = PackedModel(load_model(f"random:{family}")), (request.output_dir,)
    base = _weights(model)
    model.fold(chain)
    folded = _weights(model)
    assert not torch.equal(base, folded)
    right, num_left = policy_folding.folded_weight, 3

    def breaks(*args):
        nonlocal num_left
        num_left -= 1
        if num_left < 0:
            raise torch.OutOfMemoryError("no memory left")
        return right(*args)

    for broken, wanted, expected in (((), chain, folded), (chain, (), base)):
        num_left = 3
        monkeypatch.setattr(policy_folding, "folded_weight", breaks)
        with pytest.raises(torch.OutOfMemoryError):
            model.fold(broken)
        assert model.folding.chain not in (broken, wanted)
        monkeypatch.setattr(policy_folding, "folded_weight", right)
        model.fold(wanted)
        assert torch.equal(_weights(model), expected)
        model.fold(broken)


def test_only_layers_that_other_adapters_touch_are_made_anew(adapt_request, drain, tmp_path, monkeypatch):
    wide = adapt_request(1, lora={"targets": ("all-linear",)}, output_dir=tmp_path / "wide")
    narrow = adapt_request(2, lora={"targets": ("q_proj",)}, output_dir=tmp_path / "narrow")
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=2), [wide, narrow])
    fresh, model = (PackedModel(load_model("random:tiny-llama")) for _ in range(2))
    fresh.fold((wide.output_dir, narrow.output_dir))
    model.fold((wide.output_dir,))
    right, made = policy_folding.folded_weight, []

    def counted(base, name, adapters):
        made.append(name)
        return right(base, name, adapters)

    monkeypatch.setattr(policy_folding, "folded_weight", counted)
    model.fold((wide.output_dir, narrow.output_dir))
    assert made
    assert all(name.endswith("q_proj") for name in made)
    assert torch.equal(_weights(model), _weights(fresh))
