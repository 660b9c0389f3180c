"""While others are answered for, a slow disk gives up an adapter; its receipt is of the bytes that were read."""

import threading
import time

import pytest
import torch

from seal_runtime.engines import adapter_receipts
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.adapter_files import read_adapter_with_hash
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, Policy
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.transformers_generation import TransformersGenerationEngine
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import adapter_sha256

DEADLINE_SECONDS = 60


@pytest.fixture
def engine():
    made = TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=64)
    yield made
    made.close()


@pytest.fixture
def folder(adapt_request, drain):
    request = adapt_request(1, num_sequences=3, lora={"targets": ("all-linear",)}, optim={"learning_rate": 2e-2, "epochs": 4})
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=1), [request])
    return request.output_dir


def _ask(name, adapter, max_new_tokens=9):
    fields = {"policy": Policy(version=0, adapters=()), "prompts": ("Who was mayor of Arden?", "Where?"), "stop": ""}
    return AnswerRequest(request_id=name, adapter=adapter, max_new_tokens=max_new_tokens, **fields)


def test_others_are_answered_while_an_adapter_is_read(engine, folder, drain, monkeypatch):
    expected = drain(engine, [_ask("before", folder)])["before"]
    released = threading.Event()

    def slow(path):
        assert released.wait(DEADLINE_SECONDS)
        return read_adapter_with_hash(path)

    monkeypatch.setattr(adapter_receipts, "read_adapter_with_hash", slow)
    engine.submit(_ask("plain", None, max_new_tokens=100))
    with torch.no_grad():
        engine._admit()
    engine.submit(_ask("adapted", folder))
    found = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not found:
        found += engine.step()
        assert time.monotonic() < deadline
    assert [output.request_id for output in found] == ["plain"]
    released.set()
    output = drain(engine, [])["adapted"]
    assert (output.answers, output.adapter_sha256, output.probe_delta) == (
        expected.answers,
        adapter_sha256(folder),
        expected.probe_delta,
    )


def test_many_adapters_have_their_own_receipts_and_one_that_is_lost_fails_alone(engine, folder, drain, tmp_path):
    requests = [_ask(f"a{index}", folder) for index in range(7)]
    results = drain(engine, [_ask("lost", tmp_path / "nowhere"), *requests])
    lost = results.pop("lost")
    assert isinstance(lost.error, StoreError)
    assert lost.retryable
    assert all(isinstance(output, AnswerOutput) and output.adapter_sha256 == adapter_sha256(folder) for output in results.values())
    assert len(results) == 7


def test_a_request_cancelled_while_its_adapter_is_read_never_comes_back(engine, folder, drain):
    engine.submit(_ask("gone", folder))
    engine.cancel("gone")
    assert set(drain(engine, [_ask("stays", folder)])) == {"stays"}
    assert len(engine._reads._reads) == 0
