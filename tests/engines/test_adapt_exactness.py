"""A job's adapter is bit-identical whatever the number of slots, its neighbours, the order of submission, the split of the passes."""

from dataclasses import replace

import pytest

from seal_runtime.engines.adapt import BatchedAdaptEngine, plan_passes
from seal_runtime.engines.base import AdaptOutput
from seal_runtime.engines.model_loading import load_model
from seal_runtime.store.adapters import adapter_sha256


def _jobs(adapt_request, tmp_path, name, seeds):
    variants = [
        {"num_sequences": 4},
        {"num_sequences": 2, "lora": {"rank": 3}},
        {"num_sequences": 6, "lora": {"targets": ("all-linear",), "rank": 5}, "optim": {"batch_size": 4}},
        {"num_sequences": 3, "prompt": "Passage:\n", "lora": {"targets": ()}},
    ]
    return [adapt_request(seed, **variants[seed % 4], output_dir=tmp_path / name / str(seed)) for seed in seeds]


def _hashes(engine, requests, drain):
    results = drain(engine, requests)
    assert all(isinstance(result, AdaptOutput) for result in results.values()), results
    return {request.seed: (adapter_sha256(request.output_dir), results[request.request_id].final_loss) for request in requests}


@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2", "tiny-mistral", "tiny-qwen2"])
def test_adapters_do_not_depend_on_slots_neighbours_or_order(family, adapt_request, drain, tmp_path):
    loaded = load_model(f"random:{family}")
    alone = {}
    engine = BatchedAdaptEngine(loaded, num_slots=1)
    for seed in range(6):
        alone |= _hashes(engine, _jobs(adapt_request, tmp_path, "alone", [seed]), drain)
    many = BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=6)
    assert _hashes(many, _jobs(adapt_request, tmp_path, "many", range(6)), drain) == alone
    few = BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=3, max_tokens_per_step=400)
    assert _hashes(few, _jobs(adapt_request, tmp_path, "few", [5, 3, 1, 4, 2, 0]), drain) == alone
    assert len({digest for digest, _ in alone.values()}) == 6


def test_widths_that_break_alignment_are_exact_too(adapt_request, drain, tmp_path):
    """Hidden size 36: rows of 144 bytes, so that blocks of a packed batch start at any multiple of 16 bytes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from seal_runtime.engines.random_models import byte_tokenizer

    config = LlamaConfig(
        vocab_size=260, hidden_size=36, intermediate_size=52, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=256
    )
    config.eos_token_id = 256
    folder = tmp_path / "odd"
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    alone = {}
    engine = BatchedAdaptEngine(load_model(str(folder)), num_slots=1)
    for seed in range(4):
        alone |= _hashes(engine, _jobs(adapt_request, tmp_path, "alone", [seed]), drain)
    many = BatchedAdaptEngine(load_model(str(folder)), num_slots=4)
    assert _hashes(many, _jobs(adapt_request, tmp_path, "many", [2, 0, 3, 1]), drain) == alone


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(adapt_request, drain, tmp_path):
    engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=3)
    first, again = (adapt_request(1, request_id=name, output_dir=tmp_path / name) for name in ("first", "again"))
    other = replace(first, request_id="other", output_dir=tmp_path / "other", seed=99)
    drain(engine, [first, again, other])
    assert adapter_sha256(first.output_dir) == adapter_sha256(again.output_dir) != adapter_sha256(other.output_dir)


def test_a_batch_split_over_passes_equals_the_whole_batch_to_rounding(adapt_request, drain, tmp_path):
    from safetensors.torch import load_file

    def run(cap):
        request = adapt_request(3, num_sequences=8, optim={"batch_size": 8}, output_dir=tmp_path / str(cap))
        drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=1, max_tokens_per_step=cap), [request])
        return load_file(request.output_dir / "adapter_model.safetensors")

    whole, split = run(4096), run(90)
    for name, tensor in whole.items():
        assert (tensor - split[name]).abs().max() < 1e-5


def test_passes_respect_the_cap_and_never_hold_two_parts_of_one_slot():
    passes = plan_passes([[60, 50], [30], [70], [20]], 100)
    assert passes == [[(0, 0), (1, 0)], [(0, 1), (3, 0)], [(2, 0)]]


def test_a_bfloat16_base_trains_float32_adapters_bit_identically(adapt_request, drain, tmp_path):
    alone = {}
    engine = BatchedAdaptEngine(load_model("random:tiny-llama", "bfloat16"), num_slots=1)
    for seed in range(3):
        alone |= _hashes(engine, _jobs(adapt_request, tmp_path, "alone", [seed]), drain)
    many = BatchedAdaptEngine(load_model("random:tiny-llama", "bfloat16"), num_slots=3)
    requests = _jobs(adapt_request, tmp_path, "many", [2, 0, 1])
    assert _hashes(many, requests, drain) == alone
    for request in requests:
        request_32 = replace(request, output_dir=tmp_path / "float32" / str(request.seed))
        exact = drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=1), [request_32])[request.request_id]
        assert abs(alone[request.seed][1] - exact.final_loss) < 0.1
