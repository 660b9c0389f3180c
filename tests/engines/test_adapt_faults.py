"""What is wrong with a job ends that job alone."""

import math
from dataclasses import replace

import pytest

from protocol.jobs import TrainingSequence
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AdaptOutput, Policy, RequestFailed
from seal_runtime.engines.model_loading import load_model
from seal_runtime.errors import AdaptError, StoreError
from seal_runtime.store.adapters import adapter_sha256


@pytest.fixture
def engine():
    return BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=4)


@pytest.mark.parametrize("rate", [1e12, 1e30, 1e40])
def test_a_diverging_job_leaves_its_neighbours_bit_identical(rate, engine, adapt_request, drain, tmp_path):
    lone = adapt_request(1, output_dir=tmp_path / "lone")
    drain(engine, [lone])
    mad = adapt_request(2, optim={"learning_rate": rate, "epochs": 5})
    good = adapt_request(1)
    results = drain(engine, [mad, good])
    failed = results["job-2"]
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable
    assert isinstance(failed.error, AdaptError)
    assert "lower trainer.optim.learning_rate" in str(failed.error)
    assert not mad.output_dir.exists()
    assert adapter_sha256(good.output_dir) == adapter_sha256(lone.output_dir)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequences": ()}, "at least one training sequence"),
        ({"sequences": (TrainingSequence(prompt="", completion="", weight=1.0),)}, "something to learn"),
        ({"sequences": (TrainingSequence(prompt="", completion="text", weight=math.nan),)}, "finite sequence weights"),
        ({"optim": {"learning_rate": math.nan}}, "finite learning rate"),
        ({"optim": {"learning_rate": -1.0}}, "finite learning rate"),
        ({"optim": {"batch_size": 0}}, "batch_size >= 1"),
        ({"lora": {"rank": 0}}, "rank of at least 1"),
        ({"lora": {"targets": ("q_prj",)}}, "expected some of down_proj, gate_proj"),
    ],
)
def test_impossible_jobs_fail_at_once_and_alone(engine, adapt_request, drain, changes, message):
    results = drain(engine, [adapt_request(1, **changes), adapt_request(2)])
    assert isinstance(results["job-2"], AdaptOutput)
    failed = results["job-1"]
    assert isinstance(failed, RequestFailed)
    assert not failed.retryable
    assert message in str(failed.error)


def test_a_sequence_beyond_the_token_cap_is_refused(adapt_request, drain):
    engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=2, max_tokens_per_step=64)
    long = TrainingSequence(prompt="", completion="x" * 100, weight=1.0)
    result = drain(engine, [adapt_request(1, sequences=(long,))])["job-1"]
    assert "raise trainer.max_tokens_per_step" in str(result.error)
    assert "trainer.activation_checkpointing" in str(result.error)
    assert not result.retryable


def test_an_adapter_beyond_the_memory_for_adapters_is_refused_and_others_wait_for_room(adapt_request, drain):
    # rank 4 on q_proj and v_proj of two layers of width 64: 4 * 4 * 128 = 2,048 weights of 16 bytes, 32,768 bytes an adapter
    engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=4, max_adapter_bytes=70_000)
    large = adapt_request(1, lora={"rank": 9})
    results = drain(engine, [large, *(adapt_request(seed) for seed in (2, 3, 4))])
    assert all(isinstance(results[f"job-{seed}"], AdaptOutput) for seed in (2, 3, 4))
    assert "takes 73,728 bytes" in str(results["job-1"].error)
    assert "lower its rank" in str(results["job-1"].error)
    assert not results["job-1"].retryable
    for seed in (5, 6, 7):
        engine.submit(adapt_request(seed, optim={"epochs": 500}))
    engine.step()
    assert len(engine._active) == 2
    engine.close()


def test_long_sequences_are_cut_at_the_right_and_counted(engine, adapt_request, drain):
    sequences = tuple(TrainingSequence(prompt="", completion=text, weight=1.0) for text in ("x" * 100, "short"))
    output = drain(engine, [adapt_request(1, sequences=sequences, optim={"max_length": 32, "epochs": 1})])["job-1"]
    assert (output.num_truncated, output.num_tokens, output.num_steps) == (1, 32 + 6, 2)


def test_a_missing_policy_fails_its_jobs_as_retryable_and_no_others(engine, adapt_request, drain, tmp_path):
    lost = adapt_request(1, policy=Policy(version=1, adapters=(tmp_path / "nowhere",)))
    results = drain(engine, [lost, adapt_request(2)])
    assert isinstance(results["job-2"], AdaptOutput)
    assert isinstance(results["job-1"].error, StoreError)
    assert results["job-1"].retryable


def test_an_unwritable_folder_is_a_retryable_failure(engine, adapt_request, drain, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = drain(engine, [adapt_request(1, output_dir=tmp_path / "file" / "adapter")])["job-1"]
    assert isinstance(result.error, StoreError)
    assert result.retryable


def test_a_cancelled_job_never_comes_back(engine, adapt_request, drain):
    for seed in range(3):
        engine.submit(adapt_request(seed))
    engine.cancel("job-1")
    engine.cancel("unknown")
    assert set(drain(engine, [])) == {"job-0", "job-2"}


def test_policies_take_turns_oldest_first_and_slots_refill(adapt_request, drain, tmp_path):
    engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=2)
    update = adapt_request(50, output_dir=tmp_path / "policy")
    drain(engine, [update])
    folded = Policy(version=1, adapters=(update.output_dir,))
    new = [adapt_request(seed, policy=folded) for seed in (1, 2, 3)]
    old = [adapt_request(seed) for seed in (4, 5, 6)]
    order = list(drain(engine, [*new, *old]))
    assert set(order[:3]) == {"job-4", "job-5", "job-6"}
    again = replace(old[0], request_id="again", output_dir=tmp_path / "again")
    drain(engine, [again])
    assert adapter_sha256(again.output_dir) == adapter_sha256(old[0].output_dir)


def test_zero_weight_learns_nothing_and_negative_weight_unlearns(engine, adapt_request, drain):
    def run(seed, weight):
        sequences = (TrainingSequence(prompt="", completion="the river town", weight=weight),)
        return drain(engine, [adapt_request(seed, sequences=sequences, optim={"epochs": 8})])[f"job-{seed}"]

    assert run(1, 1.0).final_loss < run(2, 1.0).first_loss
    assert run(3, 0.0).final_loss == 0.0
    unlearned = run(4, -1.0)
    assert unlearned.final_loss < unlearned.first_loss < 0


def test_a_broken_kernel_fails_what_was_at_work_and_not_the_engine(engine, adapt_request, drain, monkeypatch):
    good = engine._packed.hidden_states

    def broken(batch):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine._packed, "hidden_states", broken)
    results = drain(engine, [adapt_request(1), adapt_request(2)])
    assert all(result.retryable and "lower trainer.max_tokens_per_step" in str(result.error) for result in results.values())
    monkeypatch.setattr(engine._packed, "hidden_states", good)
    assert isinstance(drain(engine, [adapt_request(1)])["job-1"], AdaptOutput)


def test_numbers_that_are_not_finite_stay_in_the_rows_of_their_job(engine, adapt_request, drain, tmp_path):
    """Its rows share tiles, chunks and kernels with those of the neighbours."""
    lone = adapt_request(1, output_dir=tmp_path / "lone")
    drain(engine, [lone])
    for request in (adapt_request(2, optim={"epochs": 50}), adapt_request(3, optim={"epochs": 50}), adapt_request(1)):
        engine.submit(request)
    engine._admit()
    broken = {slot.request.request_id: slot for slot in engine._active}
    for factors in broken["job-2"].factors.values():
        factors.weight_b_RO.fill_(math.nan)
    for factors in broken["job-3"].factors.values():
        factors.weight_b_RO.fill_(3e38)
    results = drain(engine, [])
    assert all("training diverged at step 1" in str(results[name].error) for name in ("job-2", "job-3"))
    assert adapter_sha256(tmp_path / "adapter-1") == adapter_sha256(lone.output_dir)
