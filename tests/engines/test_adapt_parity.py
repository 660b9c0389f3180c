"""Adapters trained in one batch equal those that PEFT and Hugging Face's Trainer make alone."""

from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AdaptOutput
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.reference import train_reference

LLAMA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
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


def _reference_of(request, tmp_path, family="tiny-llama"):
    if request.lora.targets == ("all-linear",):
        names = ("c_attn", "c_proj", "c_fc") if family == "tiny-gpt2" else LLAMA_LAYERS
        request = replace(request, lora=replace(request.lora, targets=names))
    return replace(request, output_dir=tmp_path / f"reference-{request.seed}")


@pytest.mark.parametrize("mode", ["exact", "grouped", "packed"])
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


FAMILY_JOBS = [
    {"num_sequences": 8, "optim": {"epochs": 6, "learning_rate": 1e-3}},
    {
        "num_sequences": 5,
        "prompt": "Write about Arden:\n",
        "lora": {"targets": ("all-linear",), "rank": 6, "alpha": 3.0},
        "optim": {"schedule": "cosine", "warmup_steps": 2, "epochs": 3},
    },
    {"num_sequences": 7, "lora": {"rank": 2}, "optim": {"batch_size": 3, "epochs": 4, "weight_decay": 0.1, "max_grad_norm": 0.2}},
    {"num_sequences": 3, "lora": {"rank": 1}, "optim": {"schedule": "constant", "num_steps": 7, "pad_loss": "none"}},
]
"""Different ranks, targets, learning rates, schedules, batch sizes, clips and masks; 48, 15, 12 and 7 steps."""


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2"])
def test_heterogeneous_jobs_of_each_family_equal_peft_and_trainer(family, adapt_request, drain, delta_error, tmp_path):
    requests = [adapt_request(seed, **changes) for seed, changes in enumerate(FAMILY_JOBS)]
    results = drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=3), requests)
    assert [results[request.request_id].num_steps for request in requests] == [48, 15, 12, 7]
    plain = load_model(f"random:{family}")
    for request in requests:
        reference = train_reference(plain, _reference_of(request, tmp_path, family))
        assert results[request.request_id].final_loss == pytest.approx(reference.losses[-1], abs=2e-4)
        assert delta_error(load_file(request.output_dir / "adapter_model.safetensors"), reference) < 1e-5


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-llama", "tiny-mistral", "tiny-qwen2"])
def test_exports_load_with_peft_and_give_the_logits_of_the_references_adapter(family, adapt_request, drain, tmp_path):
    request = adapt_request(1, lora={"targets": ("all-linear",)}, optim={"learning_rate": 5e-3})
    drain(BatchedAdaptEngine(load_model(f"random:{family}"), num_slots=1), [request])
    reference = _reference_of(request, tmp_path, family)
    train_reference(load_model(f"random:{family}"), reference)
    ids = torch.arange(20)[None] * 3
    with torch.no_grad():
        base = load_model(f"random:{family}").model(ids).logits
        ours, theirs = (
            PeftModel.from_pretrained(load_model(f"random:{family}").model, folder)(ids).logits
            for folder in (request.output_dir, reference.output_dir)
        )
    assert (ours - base).abs().max() > 0.1
    assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.parametrize("mode", ["grouped", "packed"])
def test_a_bfloat16_base_trains_adapters_close_to_those_of_float32(mode, adapt_request, drain, tmp_path):
    """Over 48 steps the rounding of the base moves the adapter's change by a few per cent and not elsewhere."""
    jobs = (FAMILY_JOBS[0], FAMILY_JOBS[0] | {"lora": {"rank": 3, "alpha": 5.0}})
    requests = [adapt_request(seed, **job, output_dir=tmp_path / f"bfloat16-{seed}") for seed, job in enumerate(jobs, 1)]
    results = drain(BatchedAdaptEngine(load_model("random:tiny-qwen2", "bfloat16"), num_slots=2, mode=mode), requests)
    plain = load_model("random:tiny-qwen2")
    for request in requests:
        assert isinstance(results[request.request_id], AdaptOutput)
        reference = train_reference(plain, _reference_of(request, tmp_path))
        ours = load_file(request.output_dir / "adapter_model.safetensors")
        change, expected = (
            torch.cat([(tensors[name] - reference.initial[name]).flatten() for name in reference.trained])
            for tensors in (ours, reference.trained)
        )
        assert torch.nn.functional.cosine_similarity(change, expected, dim=0) > 0.98
        assert 0.9 < change.norm() / expected.norm() < 1.1
