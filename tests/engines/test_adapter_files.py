"""Adapters on disk are PEFT's: they load with PEFT and give the logits that the engine gives."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save, save_file

from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.adapter_files import read_adapter, read_adapter_with_hash, write_adapter
from seal_runtime.engines.adapter_merging import compose_adapters, merge_model
from seal_runtime.engines.adapter_receipts import load_factors
from seal_runtime.engines.lora_group import Group
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.packed_model import PackedModel
from seal_runtime.errors import ReceiptError, StoreError
from seal_runtime.store.adapters import adapter_sha256

IDS = [5, 17, 90, 33, 120, 7, 64]


def _trained(family, adapt_request, drain, seeds=(1,), **changes):
    requests = [adapt_request(seed, num_sequences=3, optim={"learning_rate": 1e-2}, **changes) for seed in seeds]
    drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=2), requests)
    return [request.output_dir for request in requests]


def _packed_logits(packed, factors):
    with torch.no_grad():
        group = Group(ids_T=torch.tensor(IDS), positions_T=torch.arange(len(IDS)), lengths=[len(IDS)], factors=factors)
        hidden = packed.hidden_states(packed.batch([group]))[: len(IDS)]
        return hidden @ packed.head_VD.t()


def _plain_logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS])).logits[0]


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2"])
def test_an_exported_adapter_loads_with_peft_and_gives_equal_logits(family, adapt_request, drain):
    [folder] = _trained(family, adapt_request, drain, lora={"targets": ("all-linear",)})
    base = load_model(f"random:{family}").model
    before = _plain_logits(base)
    peft_logits = _plain_logits(PeftModel.from_pretrained(base, folder))
    packed = PackedModel(load_model(f"random:{family}"))
    factors, sha256 = load_factors(packed, folder)
    assert sha256 == adapter_sha256(folder)
    assert (peft_logits - before).abs().max() > 1e-2
    torch.testing.assert_close(_packed_logits(packed, factors), peft_logits, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-qwen2"])
def test_folding_composing_and_merging_a_chain_agree(family, adapt_request, drain, tmp_path):
    chain = tuple(_trained(family, adapt_request, drain, seeds=(1, 2)))
    packed = PackedModel(load_model(f"random:{family}"))
    packed.fold(chain)
    folded = _packed_logits(packed, {})
    write_adapter(tmp_path / "composed", compose_adapters([read_adapter(folder) for folder in chain]))
    assert read_adapter(tmp_path / "composed").rank == sum(read_adapter(folder).rank for folder in chain) == 8
    composed = _plain_logits(PeftModel.from_pretrained(load_model(f"random:{family}").model, tmp_path / "composed"))
    torch.testing.assert_close(composed, folded, atol=5e-5, rtol=1e-5)
    merge_model(f"random:{family}", chain, tmp_path / "merged")
    (tmp_path / "any").touch()
    assert {path.stat().st_mode for path in (tmp_path / "merged").iterdir()} == {(tmp_path / "any").stat().st_mode}
    torch.testing.assert_close(_plain_logits(load_model(str(tmp_path / "merged")).model), folded, atol=2e-5, rtol=1e-5)


def test_folding_is_bit_exact_there_and_back(adapt_request, drain):
    first, second = _trained("tiny-llama", adapt_request, drain, seeds=(1, 2))
    packed = PackedModel(load_model("random:tiny-llama"))
    base = [layer.weight_OI.clone() for layer in packed.layers]
    packed.fold((first,))
    once = [layer.weight_OI.clone() for layer in packed.layers]
    packed.fold((first, second))
    packed.fold((first,))
    assert all(torch.equal(a, layer.weight_OI) for a, layer in zip(once, packed.layers, strict=True))
    packed.fold(())
    assert all(torch.equal(a, layer.weight_OI) for a, layer in zip(base, packed.layers, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(base, once, strict=True))


def test_a_failed_fold_changes_nothing(adapt_request, drain, tmp_path):
    [folder] = _trained("tiny-llama", adapt_request, drain)
    packed = PackedModel(load_model("random:tiny-llama"))
    packed.fold((folder,))
    weights = [layer.weight_OI.clone() for layer in packed.layers]
    with pytest.raises(StoreError, match="expected a PEFT adapter"):
        packed.fold((folder, tmp_path / "missing"))
    assert packed.folding.chain == (folder,)
    assert all(torch.equal(a, layer.weight_OI) for a, layer in zip(weights, packed.layers, strict=True))


def test_the_hash_of_the_bytes_read_is_the_stores(adapt_request, drain):
    [folder] = _trained("tiny-llama", adapt_request, drain)
    assert read_adapter_with_hash(folder)[1] == adapter_sha256(folder)
    assert json.loads((folder / "adapter_config.json").read_text())["target_modules"] == ["q_proj", "v_proj"]


def _break_tensor(folder, change):
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def test_files_are_those_of_safetensors_and_whoever_reads_one_reads_both(adapt_request, drain, tmp_path):
    [folder] = _trained("tiny-llama", adapt_request, drain)
    tensors, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    assert tensors.read_bytes() == save(load_file(tensors), metadata={"format": "pt"})
    assert tensors.stat().st_mode == config.stat().st_mode
    assert len(list(folder.iterdir())) == 2
    (tmp_path / "taken" / "adapter_model.safetensors" / "in the way").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot write the adapter to .*taken.*is the disk full"):
        write_adapter(tmp_path / "taken", read_adapter(folder))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0broken"), "corrupt"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "corrupt"),
        (lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "IA3"}'), "not the config of a LoRA adapter"),
        (lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "use_dora": true}'), "use_dora"),
        (lambda folder: _break_tensor(folder, lambda t: t.update({"lm_head.weight": torch.zeros(2)})), "no LoRA factor"),
        (lambda folder: _break_tensor(folder, lambda t: next(iter(t.values())).fill_(float("nan"))), "not finite"),
        (lambda folder: _break_tensor(folder, lambda t: t.pop(sorted(t)[0])), "only one of the two"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "No such file"),
    ],
)
def test_a_damaged_adapter_is_refused_with_its_reason(adapt_request, drain, damage, message):
    [folder] = _trained("tiny-llama", adapt_request, drain)
    damage(folder)
    with pytest.raises(StoreError, match=message):
        read_adapter(folder)


def test_an_adapter_of_another_model_is_refused(adapt_request, drain):
    [gpt2] = _trained("tiny-gpt2", adapt_request, drain)
    [wide] = _trained("seal-tiny", adapt_request, drain, seeds=(2,))
    packed = PackedModel(load_model("random:tiny-llama"))
    with pytest.raises(ReceiptError, match="no linear layer of this model"):
        load_factors(packed, gpt2)
    with pytest.raises(ReceiptError, match="expected \\(4, 64\\)"):
        load_factors(packed, wide)
