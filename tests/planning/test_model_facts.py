"""A plan counts a model as the engines do that load it."""

from dataclasses import replace

import pytest
import torch
from plans import topology

from seal_runtime.bench.work import size_of
from seal_runtime.engines.device_capacity import capacity_on_device, count_adapter_weights, shape_of
from seal_runtime.engines.model_loading import load_model
from seal_runtime.errors import ConfigError
from seal_runtime.planning.memory import CONTEXT_BYTES, trainer_capacity
from seal_runtime.planning.model_facts import architecture_key, model_facts


@pytest.mark.parametrize("model", ["random:tiny-qwen2", "random:tiny-gpt2", "builtin:seal-tiny"])
def test_the_facts_are_those_of_the_loaded_model(model):
    chosen = topology(model={"path": model}, trainer={"lora": {"rank": 4, "alpha": 8.0}}, algorithm={"lora": {"targets": ["all-linear"]}})
    facts, loaded = model_facts(chosen, "float32"), load_model(model)
    assert facts.shape == shape_of(loaded)
    assert facts.linear_weights == size_of(loaded.model).num_linear_weights
    assert facts.num_weights == sum(weight.numel() for weight in loaded.model.parameters())
    assert facts.inner_weights == count_adapter_weights(loaded, chosen.trainer.lora.spec())
    assert facts.policy_weights == count_adapter_weights(loaded, chosen.algorithm.lora.spec())
    assert facts.context_length == loaded.context_length


@pytest.mark.parametrize("slots", [3, "auto"])
def test_plan_and_trainer_choose_the_same_capacity(monkeypatch, slots):
    chosen = topology(model={"path": "random:tiny-qwen2"}, trainer={"max_concurrent_adapters": slots})
    facts, gpu_bytes = model_facts(chosen, "float32"), 3 << 29
    free_bytes = gpu_bytes - CONTEXT_BYTES - facts.weight_bytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free_bytes, gpu_bytes))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    loaded = replace(load_model("random:tiny-qwen2"), device=torch.device("cuda"))
    taken = capacity_on_device(
        loaded,
        chosen.trainer.lora.spec(),
        large=chosen.large_adapters(),
        num_slots=0 if slots == "auto" else slots,
        max_tokens_per_step=chosen.trainer.max_tokens_per_step,
        loss_chunk_tokens=chosen.trainer.chunk_tokens,
        activation_checkpointing=chosen.trainer.activation_checkpointing,
    )
    assert trainer_capacity(chosen, facts, gpu_bytes) == taken


def test_the_shape_of_a_known_model_needs_no_download(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    facts = model_facts(topology(model={"path": "Qwen/Qwen2.5-7B-Instruct"}), "bfloat16")
    assert facts.num_weights == 7_615_616_512
    assert facts.cache_bytes == 2 * 28 * 4 * 128 * 2
    assert architecture_key("random:qwen2.5-7b") == architecture_key("Qwen/Qwen2.5-7B-Instruct")
    with pytest.raises(ConfigError, match="known without a download"):
        model_facts(topology(model={"path": "someone/unheard-of"}), "bfloat16")
