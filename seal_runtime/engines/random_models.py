"""Randomly initialised models of named architectures: real work for a machine without weights, and small models for tests.

The weights depend on the architecture alone (one fixed seed). The tokenizer is one token a byte, so that any text encodes.
"""

from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from seal_runtime.errors import ConfigError

_EOS = "<|endoftext|>"
_EOS_ID = 256
_TINY: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
    "eos_token_id": _EOS_ID,
    "bos_token_id": _EOS_ID,
}

ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "tiny-gpt2": lambda: GPT2Config(
        vocab_size=320, n_embd=64, n_layer=2, n_head=4, n_positions=256, initializer_range=0.1, eos_token_id=_EOS_ID, bos_token_id=_EOS_ID
    ),
    "tiny-llama": lambda: LlamaConfig(**_TINY, num_key_value_heads=4, tie_word_embeddings=True),
    "tiny-mistral": lambda: MistralConfig(**_TINY, num_key_value_heads=2, sliding_window=24, tie_word_embeddings=False),
    "tiny-qwen2": lambda: Qwen2Config(**_TINY, num_key_value_heads=2, tie_word_embeddings=False),
    "seal-tiny": lambda: LlamaConfig(
        **{
            **_TINY,
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "vocab_size": 1025,
            "max_position_embeddings": 512,
        },
        tie_word_embeddings=True,
    ),
    "gpt2": lambda: GPT2Config(),
    "qwen2.5-0.5b": lambda: Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
    ),
    "llama-3.2-1b": lambda: LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=131072,
        tie_word_embeddings=True,
    ),
    "qwen2.5-7b": lambda: Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
    ),
}
"""Names that may follow `random:`."""


def build_random_model(architecture: str, dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    """Return a model and a byte tokenizer. Raises ConfigError for an unknown architecture."""
    make_config = ARCHITECTURES.get(architecture)
    if make_config is None:
        raise ConfigError(f"expected random:ARCH with ARCH one of {', '.join(ARCHITECTURES)}, got {architecture!r}")
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []), torch.device(device):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(make_config(), dtype=dtype)
    return model, byte_tokenizer()


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token for each byte and an end-of-sequence token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_EOS, bos_token=_EOS, pad_token=_EOS)
