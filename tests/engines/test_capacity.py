"""How many adapters fit: hand-computed."""

import pytest

from protocol.jobs import LoraSpec
from seal_runtime.config.agents import TrainerConfig
from seal_runtime.engines.capacity import MAX_SLOTS, bytes_a_token, capacity_of
from seal_runtime.engines.device_capacity import count_adapter_weights, token_bytes_of
from seal_runtime.engines.factory import make_adapt_engine
from seal_runtime.engines.model_loading import load_model


def test_a_token_keeps_ten_hidden_and_four_intermediate_rows_a_layer():
    assert bytes_a_token(num_layers=3, hidden_size=8, intermediate_size=20, bytes_a_number=2) == 3 * (80 + 80) * 2


def test_memory_goes_to_adapters_with_a_step_each_and_the_rest_to_tokens():
    # usable 9,000,000; an adapter 18,000 + 256 * 1,000 = 274,000: 32 of them; left for tokens 9,000,000 - 32 * 18,000 = 8,424,000
    found = capacity_of(free_bytes=10_000_000, num_adapter_weights=1_000, token_bytes=1_000, max_tokens_per_step=16_384)
    assert (found.num_slots, found.max_tokens_per_step) == (32, 8_424)


def test_there_is_always_one_adapter_and_never_more_than_help():
    small = capacity_of(free_bytes=1, num_adapter_weights=1_000, token_bytes=1_000, max_tokens_per_step=16_384)
    large = capacity_of(free_bytes=1 << 40, num_adapter_weights=1_000, token_bytes=1_000, max_tokens_per_step=16_384)
    assert (small.num_slots, small.max_tokens_per_step) == (1, 256)
    assert (large.num_slots, large.max_tokens_per_step) == (MAX_SLOTS, 16_384)


def test_adapters_and_tokens_are_counted_on_the_model():
    loaded = load_model("random:tiny-llama")
    assert count_adapter_weights(loaded, LoraSpec(rank=4, alpha=8.0, targets=())) == 4 * 2 * 2 * (64 + 64)
    assert count_adapter_weights(loaded, LoraSpec(rank=2, alpha=8.0, targets=("all-linear",))) == 2 * 2 * (4 * 128 + 3 * (64 + 160))
    assert count_adapter_weights(load_model("random:tiny-gpt2"), None) == 32 * 2 * (64 + 192)
    assert token_bytes_of(loaded) == 2 * (10 * 64 + 4 * 160) * 4


def test_auto_is_a_fixed_number_on_cpu():
    assert make_adapt_engine("batched", model="random:tiny-llama", num_slots="auto").num_slots == 16
    assert make_adapt_engine("fake", model="", num_slots="auto").num_slots == 16


@pytest.mark.parametrize("value", [0, 5000, "many"])
def test_the_configuration_takes_auto_or_a_number(value):
    assert TrainerConfig(max_concurrent_adapters="auto").max_concurrent_adapters == "auto"
    with pytest.raises(ValueError, match="auto"):
        TrainerConfig(max_concurrent_adapters=value)
