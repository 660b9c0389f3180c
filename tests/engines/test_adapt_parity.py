"""Adapters trained in one batch equal those that PEFT and Hugging Face's Trainer make alone."""

from dataclasses import replace

import pytest
from safetensors.torch import load_file

from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AdaptOutput
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.reference import train_reference

HETEROGENEOUS = [
    {"num_sequences": 9, "optim": {"epochs": 6, "learning_rate": 1e-3}},
    {
        "num_sequences": 5,
        "lora": {"rank": 8, "alpha": 16.0, "targets": ("gate_proj", "up_proj", "down_proj")},
        "optim": {"learning_rate": 4e-3},
    },
    {"num_sequences": 7, "optim": {"batch_size": 3, "schedule": "cosine", "warmup_steps": 2, "epochs": 3, "weight_decay": 0.1}},
    {
        "num_sequences": 4,
        "prompt": "Write about Arden:\n",
        "lora": {"targets": ("all-linear",), "rank": 3},
        "optim": {"schedule": "constant"},
    },
    {"num_sequences": 3, "optim": {"num_steps": 11, "max_grad_norm": 0.05, "max_length": 24}},
]


def _reference_of(request, tmp_path):
    if request.lora.targets == ("all-linear",):
        names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        request = replace(request, lora=replace(request.lora, targets=names))
    return replace(request, output_dir=tmp_path / f"reference-{request.seed}")


@pytest.mark.parametrize("mode", ["grouped", "packed"])
def test_heterogeneous_jobs_equal_peft_and_trainer(mode, adapt_request, drain, delta_error, tmp_path):
    requests = [adapt_request(seed, **changes) for seed, changes in enumerate(HETEROGENEOUS)]
    engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=5, mode=mode)
    results = drain(engine, requests)
    plain = load_model("random:tiny-llama")
    for request in requests:
        reference = train_reference(plain, _reference_of(request, tmp_path))
        output = results[request.request_id]
        assert isinstance(output, AdaptOutput), output
        assert output.num_steps == len(reference.losses)
        assert output.first_loss == pytest.approx(reference.losses[0], abs=2e-4)
        assert output.final_loss == pytest.approx(reference.losses[-1], abs=2e-4)
        assert delta_error(load_file(request.output_dir / "adapter_model.safetensors"), reference) < 1e-5
    assert results["job-0"].num_steps == 54


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-mistral", "tiny-qwen2"])
def test_each_family_equals_peft_and_trainer(family, adapt_request, drain, delta_error, tmp_path):
    requests = [adapt_request(seed, num_sequences=3) for seed in (1, 2)]
    results = drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=2), requests)
    plain = load_model(f"random:{family}")
    for request in requests:
        assert isinstance(results[request.request_id], AdaptOutput)
        reference = train_reference(plain, _reference_of(request, tmp_path))
        assert delta_error(load_file(request.output_dir / "adapter_model.safetensors"), reference) < 1e-5
