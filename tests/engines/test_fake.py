"""The fake engines keep the contract of the real ones without torch."""

import subprocess
import sys
import time

import pytest

from protocol.jobs import SamplingSpec
from seal_runtime.engines.base import AdaptOutput, AnswerRequest, Policy, RequestFailed, SampleRequest
from seal_runtime.engines.fake import FakeAdaptEngine, FakeGenerationEngine
from seal_runtime.errors import AdaptError, StoreError
from seal_runtime.store.adapters import AdapterStore, adapter_sha256

BASE = Policy(version=0, adapters=())
SAMPLING = SamplingSpec(temperature=1.0, top_p=1.0, max_new_tokens=200)


def test_adapters_are_functions_of_the_request(adapt_request, drain, tmp_path):
    requests = [adapt_request(1, request_id=name, output_dir=tmp_path / name) for name in "ab"] + [adapt_request(2)]
    results = drain(FakeAdaptEngine(num_slots=2), requests)
    assert all(isinstance(result, AdaptOutput) for result in results.values())
    first, again, other = (adapter_sha256(request.output_dir) for request in requests)
    assert first == again != other
    assert AdapterStore(tmp_path / "store").publish(requests[0].output_dir).rank == 4


def test_samples_depend_on_seeds_and_answers_on_the_adapter(adapt_request, drain):
    request = adapt_request(1)
    drain(FakeAdaptEngine(), [request])
    engine = FakeGenerationEngine()
    asked = [SampleRequest(request_id=str(n), policy=BASE, prompt="A town by a river", sampling=SAMPLING, seeds=(n, 7)) for n in (1, 2)]
    one, two = (drain(engine, [request_])[request_.request_id] for request_ in asked)
    assert one.edits[0] != two.edits[0]
    assert one.edits[1] == two.edits[1]
    questions = {"policy": BASE, "prompts": ("Who?",), "max_new_tokens": 8}
    adapted = drain(engine, [AnswerRequest(request_id="a", adapter=request.output_dir, **questions)])["a"]
    plain = drain(engine, [AnswerRequest(request_id="a", adapter=None, **questions)])["a"]
    assert adapted.answers != plain.answers
    assert adapted.adapter_sha256 == adapter_sha256(request.output_dir)
    assert adapted.probe_delta > 0 == plain.probe_delta
    whole = drain(engine, [AnswerRequest(request_id="a", adapter=None, stop="", **questions)])["a"]
    assert whole.answers[0].partition("\n")[0] == plain.answers[0] != whole.answers[0]


@pytest.mark.parametrize("retryable", [True, False])
def test_failures_are_made_to_order(adapt_request, drain, retryable):
    engine = FakeAdaptEngine(fail_substring="the", fail_retryable=retryable)
    failed = drain(engine, [adapt_request(1, num_sequences=30)])["job-1"]
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, AdaptError)
    assert failed.retryable == retryable


def test_a_missing_adapter_is_a_retryable_failure(drain, tmp_path):
    request = AnswerRequest(request_id="a", policy=BASE, adapter=tmp_path / "lost", prompts=("Who?",), max_new_tokens=8)
    failed = drain(FakeGenerationEngine(), [request])["a"]
    assert isinstance(failed.error, StoreError)
    assert failed.retryable


def test_delayed_work_keeps_its_slot_and_can_be_cancelled(adapt_request, drain):
    engine = FakeAdaptEngine(num_slots=1, delay_seconds=0.03)
    started = time.monotonic()
    for seed in range(3):
        engine.submit(adapt_request(seed))
    assert engine.step() == []
    engine.cancel("job-1")
    assert set(drain(engine, [])) == {"job-0", "job-2"}
    assert time.monotonic() - started >= 0.06


def test_the_fakes_and_the_factory_need_no_torch():
    code = "import seal_runtime.engines.fake, seal_runtime.engines.factory, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
