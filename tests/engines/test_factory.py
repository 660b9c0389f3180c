"""Engines are made from plain arguments; what cannot be had is a ConfigError that says why."""

import json

import pytest

from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.factory import make_adapt_engine, make_generation_engine
from seal_runtime.engines.fake import FakeAdaptEngine, FakeGenerationEngine
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.random_models import byte_tokenizer
from seal_runtime.engines.transformers_generation import TransformersGenerationEngine
from seal_runtime.errors import ConfigError


def test_names_make_the_engines_they_name():
    assert isinstance(make_adapt_engine("fake", model="", num_slots=3), FakeAdaptEngine)
    assert isinstance(make_generation_engine("fake", model="", engine_args={"delay_seconds": 0.1}), FakeGenerationEngine)
    trainer = make_adapt_engine("batched", model="random:tiny-llama", num_slots=3)
    assert isinstance(trainer, BatchedAdaptEngine)
    assert trainer.num_slots == 3
    assert isinstance(make_generation_engine("transformers", model="random:tiny-llama"), TransformersGenerationEngine)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_adapt_engine("unsloth", model=""), "batched, fake"),
        (lambda: make_generation_engine("sglang", model=""), "transformers, vllm, fake"),
        (lambda: make_generation_engine("fake", model="", engine_args={"speed": 9}), "engine_args"),
        (lambda: make_generation_engine("transformers", model="random:tiny-llama", engine_args={"spped": 9}), "engine_args"),
        (lambda: load_model("random:tiny-lama"), "tiny-llama"),
        (lambda: load_model("random:tiny-llama", dtype="int8"), "float32, bfloat16, float16"),
        (lambda: load_model("/nowhere/model"), "does not exist"),
    ],
)
def test_what_cannot_be_had_is_a_config_error(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_vllm_is_asked_for_by_name_only_where_it_is_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="seal-runtime\\[vllm\\]"):
        make_generation_engine("vllm", model="random:tiny-llama")


def test_a_hub_name_without_network_says_so(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        load_model("nobody/no-such-model")


def test_incomplete_folders_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ConfigError, match="no \\*\\.safetensors"):
        load_model(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 16)
    with pytest.raises(ConfigError, match="complete causal language model"):
        load_model(str(tmp_path))


def test_a_saved_model_loads_from_its_folder(tmp_path):
    load_model("random:tiny-qwen2").model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), dtype="bfloat16")
    assert (loaded.model_type, loaded.context_length, loaded.eos_token_id) == ("qwen2", 256, 256)


def test_the_byte_tokenizer_round_trips_any_text():
    tokenizer = byte_tokenizer()
    text = "naïve Ωmega\n\ttabs 🙂"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer(text).input_ids) == len(text.encode())


def test_a_model_that_the_hooks_do_not_reproduce_is_refused(tmp_path):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        final_logit_softcapping=0.5,
        eos_token_id=256,
        max_position_embeddings=128,
    )
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="other logits when packed"):
        make_adapt_engine("batched", model=str(tmp_path))
