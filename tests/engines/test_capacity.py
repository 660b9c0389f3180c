"""What fits into memory: hand-computed."""

from dataclasses import replace

import pytest

from protocol.jobs import LoraSpec
from seal_runtime.config.agents import TrainerConfig
from seal_runtime.engines.capacity import MAX_SLOTS, Capacity, ModelShape, adapter_bytes, capacity_of, capacity_on_cpu, loss_chunk
from seal_runtime.engines.device_capacity import capacity_on_device, count_adapter_weights, shape_of
from seal_runtime.engines.factory import make_adapt_engine
from seal_runtime.engines.model_loading import load_model
from seal_runtime.errors import ConfigError

# A token: 3 blocks of 14 * 8 + 4 * 20 = 192 numbers and 4 * 8 + 4 * 20 = 112 for the ends make 688 numbers, 1,376 bytes.
SHAPE = ModelShape(num_layers=3, hidden_size=8, intermediate_size=20, vocab_size=125, bytes_a_number=2)


def _fit(free_bytes, **changes):
    asked = {"num_slots": 0, "max_tokens_per_step": 16_384, "loss_chunk_tokens": 100, "activation_checkpointing": False} | changes
    asked = {"num_large_weights": 0} | asked
    return capacity_of(free_bytes=free_bytes, num_adapter_weights=1_000, shape=SHAPE, **asked)


def test_a_token_keeps_all_blocks_or_their_inputs_and_one_block():
    assert SHAPE.token_bytes(False) == (3 * 192 + 112) * 2 == 1_376
    assert SHAPE.token_bytes(True) == (3 * 8 + 192 + 112) * 2 == 656


def test_an_adapter_has_float32_state_and_a_copy_with_its_gradient_where_one_is_made():
    assert adapter_bytes(1_000, 0) == 16_000
    assert adapter_bytes(1_000, 2) == 20_000
    assert adapter_bytes(1_000, 4) == 24_000


def test_a_position_takes_twelve_bytes_for_each_token_of_the_vocabulary():
    assert SHAPE.loss_bytes(100) == 100 * 125 * 12


def test_memory_goes_to_logits_adapters_with_a_step_each_and_the_rest_to_tokens():
    # usable 9,000,000; logits 150,000; an adapter and its step 20,000 + 256 * 1,376 = 372,256: 23 of them fit into 8,850,000;
    # left for tokens 8,850,000 - 23 * 20,000 = 8,390,000, which are 6,097 tokens and 528 bytes
    assert _fit(10_000_000) == Capacity(
        num_slots=23, max_tokens_per_step=6_097, loss_chunk_tokens=100, max_adapter_bytes=8_850_000 - 6_097 * 1_376
    )


def test_checkpointing_and_smaller_chunks_make_room():
    # an adapter and its step 20,000 + 256 * 656 = 187,936: 47 fit; tokens (8,850,000 - 940,000) // 656
    roomy = _fit(10_000_000, activation_checkpointing=True)
    assert (roomy.num_slots, roomy.max_tokens_per_step) == (47, 12_057)
    assert _fit(10_000_000, loss_chunk_tokens=5_000).num_slots == (9_000_000 - 7_500_000) // 372_256 == 4


def test_slots_asked_for_are_kept_and_leave_fewer_tokens():
    assert _fit(10_000_000, num_slots=4, max_tokens_per_step=512).max_tokens_per_step == 512
    assert _fit(10_000_000, num_slots=400).max_tokens_per_step == (8_850_000 - 400 * 20_000) // 1_376 == 617


def test_a_policy_update_that_is_larger_than_all_slots_has_room_too():
    # 4 slots take 80,000, an adapter of 300,000 weights 6,000,000: left for tokens 2,850,000
    assert _fit(10_000_000, num_slots=4, num_large_weights=3_999) == _fit(10_000_000, num_slots=4)
    large = _fit(10_000_000, num_slots=4, num_large_weights=300_000)
    assert large.max_tokens_per_step == 2_850_000 // 1_376 == 2_071
    assert large.max_adapter_bytes >= 6_000_000
    with pytest.raises(ConfigError, match=r"policy update, 450,000 weights, takes .* lower algorithm\.lora\.rank"):
        _fit(10_000_000, num_slots=4, num_large_weights=450_000)


@pytest.mark.parametrize("asked", [{"num_slots": 440}, {"loss_chunk_tokens": 9_000}])
def test_what_cannot_fit_is_refused_with_the_options_that_change_it(asked):
    # 440 adapters leave 50,000 bytes, 36 tokens; the logits of 9,000 positions are 13,500,000 bytes
    with pytest.raises(ConfigError, match=r"activation_checkpointing to true.*max_concurrent_adapters.*lora\.rank.*loss_chunk_tokens"):
        _fit(10_000_000, **asked)
    with pytest.raises(ConfigError, match=r"256 tokens 0\.00 GiB: lower"):
        _fit(10_000, activation_checkpointing=True)


def test_a_lot_of_memory_gives_what_helps_and_not_more():
    large = _fit(1 << 40)
    assert (large.num_slots, large.max_tokens_per_step) == (MAX_SLOTS, 16_384)


def test_the_chunk_of_the_loss_is_chosen_by_vocabulary_and_memory():
    assert loss_chunk(77, 152_064) == 77
    assert loss_chunk(0, 1_203) == 217
    assert loss_chunk(0, 152_064) == 64
    assert loss_chunk(0, 152_064, usable_bytes=100 << 30) == 882
    # a tenth of 4.8 GB is 40,000,000 logits of 12 bytes
    assert loss_chunk(0, 152_064, usable_bytes=4_800_000_000) == 40_000_000 // 152_064
    assert loss_chunk(0, 152_064, usable_bytes=1) == 64


def test_adapters_and_shapes_are_read_from_the_model():
    loaded = load_model("random:tiny-llama")
    assert count_adapter_weights(loaded, LoraSpec(rank=4, alpha=8.0, targets=())) == 4 * 2 * 2 * (64 + 64)
    assert count_adapter_weights(loaded, LoraSpec(rank=2, alpha=8.0, targets=("all-linear",))) == 2 * 2 * (4 * 128 + 3 * (64 + 160))
    assert count_adapter_weights(load_model("random:tiny-gpt2"), None) == 32 * 2 * (64 + 192)
    expected = ModelShape(num_layers=2, hidden_size=64, intermediate_size=160, vocab_size=320, bytes_a_number=4)
    assert shape_of(loaded) == expected
    assert shape_of(load_model("random:tiny-gpt2", "bfloat16")) == replace(expected, intermediate_size=256, bytes_a_number=2)


def test_on_cpu_memory_is_not_measured():
    expected = Capacity(num_slots=16, max_tokens_per_step=999, loss_chunk_tokens=(1 << 18) // 320, max_adapter_bytes=None)
    asked = {"num_slots": 0, "max_tokens_per_step": 999, "loss_chunk_tokens": 0}
    assert capacity_on_cpu(**asked, vocab_size=320) == expected
    assert capacity_on_device(load_model("random:tiny-llama"), None, **asked, activation_checkpointing=True) == expected
    assert make_adapt_engine("batched", model="random:tiny-llama", num_slots="auto").num_slots == 16
    assert make_adapt_engine("fake", model="", num_slots="auto").num_slots == 16


@pytest.mark.parametrize("value", [0, 5000, "many"])
def test_the_configuration_takes_auto_or_a_number(value):
    assert TrainerConfig(max_concurrent_adapters="auto").max_concurrent_adapters == "auto"
    with pytest.raises(ValueError, match="auto"):
        TrainerConfig(max_concurrent_adapters=value)


@pytest.mark.parametrize("value", [0, 63, "most", True])
def test_the_configuration_takes_auto_or_a_chunk(value):
    assert TrainerConfig().chunk_tokens == 0
    assert TrainerConfig(loss_chunk_tokens=64).chunk_tokens == 64
    with pytest.raises(ValueError, match="auto"):
        TrainerConfig(loss_chunk_tokens=value)
