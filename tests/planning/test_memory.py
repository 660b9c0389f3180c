from plans import facts, topology, workload

from seal_runtime.engines.capacity import adapter_bytes
from seal_runtime.planning.memory import CONTEXT_BYTES, GIB, memory_of

GPUS = {"proposer": {"gpus": [0], "engine": "vllm"}, "evaluator": {"gpus": [1], "engine": "vllm"}}


def test_what_a_trainer_takes_is_its_base_its_adapters_a_step_and_a_chunk():
    (found,) = memory_of(topology(trainer={"gpus": [0]}), facts(), workload(), 24 * GIB)
    parts = {part.name: part.num_bytes for part in found.parts}
    assert parts["CUDA"] == CONTEXT_BYTES
    assert parts["base weights"] == 2_000_000_000
    assert parts["adapters"] == adapter_bytes(10_000_000, 2) == 200_000_000  # more than 4 * adapter_bytes(1_000_000, 2)
    assert parts["activations"] == 16_384 * facts().shape.token_bytes(False)
    assert found.fits
    assert found.used_bytes <= found.available_bytes


def test_a_trainer_that_does_not_fit_says_what_to_change():
    (found,) = memory_of(topology(trainer={"gpus": [0]}), facts(), workload(), 5 * GIB // 2)
    assert not found.fits
    assert "trainer.activation_checkpointing" in found.advice


def test_an_adapter_of_the_policy_that_does_not_fit_beside_a_step_is_told():
    (found,) = memory_of(topology(trainer={"gpus": [0]}), facts(large_weights=1_000_000_000), workload(), 24 * GIB)
    assert not found.fits
    assert "algorithm.lora.rank" in found.advice


def test_vllm_has_its_share_and_what_is_left_is_for_keys_and_values():
    args = {"gpu_memory_utilization": 0.5, "max_model_len": 2048, "max_loras": 2, "max_lora_rank": 32}
    both = topology(proposer={**GPUS["proposer"], "engine_args": args}, evaluator={**GPUS["evaluator"], "engine_args": args})
    for found in memory_of(both, facts(), workload(), 24 * GIB):
        parts = {part.name: part.num_bytes for part in found.parts}
        assert parts["adapter slots"] == 2 * 32 * 100_000 * 2
        assert found.used_bytes == 12 * GIB
        assert found.fits


def test_two_shares_on_one_gpu_are_added_up():
    args = {"gpu_memory_utilization": 0.6, "max_model_len": 2048}
    sections = {role: {**GPUS[role], "gpus": [0], "engine_args": args} for role in ("proposer", "evaluator")}
    for found in memory_of(topology(**sections), facts(), workload(), 24 * GIB):
        assert not found.fits
        assert "on the same GPU" in found.advice


def test_a_cache_that_holds_no_whole_text_does_not_fit():
    args = {"gpu_memory_utilization": 0.2, "max_model_len": 100_000}
    (found,) = memory_of(
        topology(proposer={**GPUS["proposer"], "engine_args": args}, evaluator={"share_engine": True, "engine": "vllm"}),
        facts(),
        workload(),
        24 * GIB,
    )
    assert found.role == "proposer+evaluator"
    assert "max_model_len" in found.advice


def test_a_trainer_beside_another_process_takes_what_that_leaves():
    args = {"gpu_memory_utilization": 0.5, "max_model_len": 2048}
    shared = topology(
        proposer={**GPUS["proposer"], "engine_args": args}, evaluator={"share_engine": True, "engine": "vllm"}, trainer={"gpus": [0]}
    )
    generator, trainer = memory_of(shared, facts(large_weights=1_000_000), workload(), 12 * GIB)
    assert generator.fits
    assert trainer.fits
    assert generator.used_bytes + trainer.used_bytes <= 12 * GIB


def test_the_transformers_engine_keeps_what_its_jobs_can_bring():
    chosen = topology(proposer={"gpus": [0], "max_concurrent_jobs": 8})
    (found,) = memory_of(chosen, facts(), workload(), 24 * GIB)
    parts = {part.name: part.num_bytes for part in found.parts}
    # 8 contexts with 2 edits of at most 100 + 80 tokens
    assert parts["keys and values"] == 16 * 180 * 40_000
