import json

import pytest

from seal_runtime.errors import DataError
from seal_runtime.planning.measured_files import measured_costs

ENGINES = {"proposer": "vllm", "evaluator": "vllm"}
INNER_LOOP = {
    "model": "random:qwen2.5-7b",
    "device": "H200",
    "tokens_per_edit": 400.0,
    "epochs": 10,
    "steps_per_edit": 80.0,
    "arms": [
        {"name": "reference", "num_slots": None, "train_seconds": 11.0},
        {"name": "batched, K = 1", "num_slots": 1, "train_seconds": 80 * (0.02 + 0.001 * 50)},
        {"name": "batched, K = 8", "num_slots": 8, "train_seconds": 80 * (0.02 + 0.001 * 400) / 8},
    ],
}
GENERATION = {
    "model": "Qwen/Qwen2.5-7B",
    "device": "H200",
    "num_questions": 50,
    "num_edits": 10,
    # 5 questions of 8 tokens an edit; 4 edits at once: 8 steps of 20 rows.
    "answering": [
        {"engine": "transformers", "num_adapters": 4, "seconds_an_edit": 9.0, "tokens_per_second": 1.0},
        {"engine": "vllm", "num_adapters": 4, "seconds_an_edit": 0.5, "tokens_per_second": 80.0},
    ],
    "sampling": [{"engine": "vllm", "num_edits": 40, "tokens_per_second": 2000.0}],
}


def written(tmp_path, result):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(result))
    return path


def test_batched_arms_give_the_trainers_cost(tmp_path):
    (trainer,) = measured_costs(written(tmp_path, INNER_LOOP), "Qwen/Qwen2.5-7B", ENGINES).values()
    assert trainer.fixed_seconds == pytest.approx(0.02)
    assert trainer.unit_seconds == pytest.approx(0.001)
    assert trainer.source == "measured: bench.json, on H200"


def test_arms_of_the_topologys_engines_give_the_generators_costs(tmp_path):
    found = measured_costs(written(tmp_path, GENERATION), "random:qwen2.5-7b", ENGINES)
    assert found["evaluator"].seconds(20.0, 4) == pytest.approx(4 * 0.5 / 8)
    assert found["proposer"].seconds(40.0, 1) == pytest.approx(40 / 2000)


@pytest.mark.parametrize(
    ("result", "model", "reason"),
    [
        (INNER_LOOP, "meta-llama/Llama-3.2-1B", "figures of meta-llama"),
        ({"model": "Qwen/Qwen2.5-7B"}, "Qwen/Qwen2.5-7B", "other keys"),
        ({"model": "Qwen/Qwen2.5-7B", "arms": [], "tokens_per_edit": 1, "epochs": 1}, "Qwen/Qwen2.5-7B", "steps_per_edit"),
        ({**INNER_LOOP, "arms": INNER_LOOP["arms"][:1]}, "Qwen/Qwen2.5-7B", "none of them"),
    ],
)
def test_a_file_that_says_nothing_about_the_plan_is_refused(tmp_path, result, model, reason):
    with pytest.raises(DataError, match=reason):
        measured_costs(written(tmp_path, result), model, ENGINES)
