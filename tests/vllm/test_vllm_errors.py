"""What vLLM cannot do is one error that says what to do, wherever vLLM finds out."""

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from seal_runtime.engines.factory import make_generation_engine
from seal_runtime.engines.random_models import byte_tokenizer
from seal_runtime.errors import ConfigError


@pytest.fixture
def odd_heads(tmp_path):
    """Return a model whose attention heads have a size that no kernel of vLLM's takes."""
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=40,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        eos_token_id=256,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize("mode", ["in-process", "async"])
def test_a_head_size_that_vllm_lacks_is_named_at_the_start(odd_heads, mode):
    with pytest.raises(ConfigError, match=r"heads have a size that vLLM does not support here; set engine: transformers .*head_dim=20"):
        make_generation_engine("vllm", model=odd_heads, mode=mode)


@pytest.mark.parametrize(
    ("engine_args", "advice"),
    [
        ({"kv_cache_memory_bytes": 1024}, "not enough memory; lower"),
        ({"max_lora_rank": 600}, "max_lora_rank from 1 to 512, got 600"),
        ({"max_model_len": 4096}, "max_model_len"),
    ],
)
def test_arguments_that_cannot_be_served_are_told(engine_args, advice):
    with pytest.raises(ConfigError, match=advice):
        make_generation_engine("vllm", model="builtin:seal-tiny", engine_args=engine_args)
