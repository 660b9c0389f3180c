"""An adapter that is missing its effect, foreign or another's never gets an answer that could become a reward."""

from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from agents.receipts import make_receipt
from protocol.jobs import AdapterRef, EvaluateJob, PolicyRef
from seal_runtime.engines.adapter_files import read_adapter, write_adapter
from seal_runtime.engines.base import AnswerRequest, Policy, RequestFailed
from seal_runtime.errors import ReceiptError
from seal_runtime.store.adapters import adapter_sha256

BASE = Policy(version=0, adapters=())


def _ask(instance, adapter):
    prompts = tuple(question.prompt for question in instance.questions[:2])
    return AnswerRequest(request_id="asked", policy=BASE, adapter=adapter, prompts=prompts, max_new_tokens=4)


def _answer(engine, drain, instance, adapter):
    return drain(engine, [_ask(instance, adapter)])["asked"]


def test_zero_delta_is_refused(vllm_engine, instances, adapters, tmp_path, drain):
    adapter = read_adapter(adapters[0])
    zeros = {name: (a_RI, b_OR * 0) for name, (a_RI, b_OR) in adapter.factors.items()}
    write_adapter(tmp_path / "zero", replace(adapter, factors=zeros))
    result = _answer(vllm_engine, drain, instances[0], tmp_path / "zero")
    assert isinstance(result, RequestFailed)
    assert isinstance(result.error, ReceiptError)
    assert not result.retryable


def test_a_foreign_key_prefix_is_refused(vllm_engine, instances, adapters, tmp_path, drain):
    folder = tmp_path / "foreign"
    write_adapter(folder, read_adapter(adapters[0]))
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(
        {key.replace(".model.layers.", ".other.layers."): tensor for key, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    result = _answer(vllm_engine, drain, instances[0], folder)
    assert isinstance(result, RequestFailed)
    assert isinstance(result.error, ReceiptError)


def test_a_skipped_load_is_caught_by_the_probe(vllm_engine, instances, adapters, drain, monkeypatch):
    """vLLM answers with the base when it places no tensor; here it is given an adapter of zeros in place of the real one."""
    zeros = vllm_engine._adapters.borrow_without_effect()
    monkeypatch.setattr(vllm_engine._adapters, "_load", lambda name, folder: zeros.lora)
    vllm_engine._adapters.unload_idle()
    result = _answer(vllm_engine, drain, instances[5], adapters[5])
    assert isinstance(result, RequestFailed)
    assert isinstance(result.error, ReceiptError)
    monkeypatch.undo()
    vllm_engine._adapters.give_back(zeros)
    vllm_engine._adapters.unload_idle()
    assert not isinstance(_answer(vllm_engine, drain, instances[5], adapters[5]), RequestFailed)


def test_another_adapter_in_its_place_is_caught_by_the_hash(vllm_engine, instances, adapters, drain):
    result = _answer(vllm_engine, drain, instances[0], adapters[1])
    asked = AdapterRef(sha256=adapter_sha256(adapters[0]), rank=16, num_bytes=1)
    job = EvaluateJob(
        job_id="asked", policy=PolicyRef(version=0, chain=()), adapter=asked, questions=instances[0].questions[:2], max_new_tokens=4,
        stop="\n", scoring="mean",
    )  # fmt: skip
    with pytest.raises(ReceiptError, match="the engine loaded"):
        make_receipt(job, result)
