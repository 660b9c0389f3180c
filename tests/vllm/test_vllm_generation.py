"""vLLM answers as the transformers engine does, for many adapters and policies, and samples from the same distribution."""

import math
import os
import time
from dataclasses import replace

import pytest
from engine_processes import resident_bytes, spawned_engines

from protocol.jobs import SamplingSpec
from seal_runtime.bench.generation_agreement import greedy_agreement
from seal_runtime.engines.adapter_files import read_adapter, write_adapter
from seal_runtime.engines.base import AnswerRequest, Policy, RequestFailed, SampleRequest
from seal_runtime.engines.factory import make_generation_engine
from seal_runtime.engines.vllm_driver import InProcessDriver
from seal_runtime.errors import ConfigError, GenerateError, StoreError
from seal_runtime.store.adapters import adapter_sha256

BASE = Policy(version=0, adapters=())
TIE_NATS = 1e-3


def _ask(name, instance, adapter=None, policy=BASE, limit=8):
    prompts = tuple(question.prompt for question in instance.questions)
    return AnswerRequest(request_id=name, policy=policy, adapter=adapter, prompts=prompts, max_new_tokens=limit)


def _sample(name, instance, seeds, policy=BASE, temperature=1.0):
    sampling = SamplingSpec(temperature=temperature, top_p=0.95, max_new_tokens=20)
    return SampleRequest(request_id=name, policy=policy, prompt=instance.prompt, sampling=sampling, seeds=tuple(seeds))


def _check_agreement(found, num_compared):
    """Rounding moves a log-probability by up to 1e-4 nats in float32, so two tokens change places only where they are about that close."""
    assert found.num_compared == num_compared
    assert found.num_equal >= 0.99 * num_compared
    assert found.largest_gap < TIE_NATS


def test_greedy_answers_of_many_adapters_and_plain_rows_in_one_batch_equal_transformers(
    vllm_engine, transformers_engine, plain_model, instances, adapters, drain
):
    """More adapters than slots, and rows of the policy alone among them, which vLLM on CPU would give the last slot's adapter."""
    requests = [_ask(f"adapted-{index}", instance, adapters[index]) for index, instance in enumerate(instances)]
    requests += [_ask(f"plain-{index}", instance) for index, instance in enumerate(instances[:5])]
    ours, theirs = drain(vllm_engine, requests), drain(transformers_engine, requests)
    _check_agreement(greedy_agreement(plain_model, requests, ours, theirs), 12 * (20 + 5))
    for index, adapter in enumerate(adapters):
        assert ours[f"adapted-{index}"].adapter_sha256 == adapter_sha256(adapter)
        assert ours[f"adapted-{index}"].probe_delta > 0.1
    assert (ours["plain-0"].adapter_sha256, ours["plain-0"].probe_delta) == ("", 0.0)


def test_policies_switch_without_restart_while_older_requests_finish_and_back_again(
    vllm_engine, transformers_engine, plain_model, instances, adapters, drain
):
    first, second = Policy(version=1, adapters=(adapters[0],)), Policy(version=2, adapters=(adapters[0], adapters[1]))
    requests = [
        _ask(f"v{policy.version}-{index}", instances[index], adapter, policy)
        for policy in (second, BASE, first)
        for index, adapter in ((2, adapters[2]), (3, adapters[3]), (0, None))
    ]
    ours, theirs = drain(vllm_engine, requests), drain(transformers_engine, requests)
    _check_agreement(greedy_agreement(plain_model, requests, ours, theirs), 12 * 9)
    for request in requests:
        assert ours[request.request_id].policy_sha256s == tuple(map(adapter_sha256, request.policy.adapters))
    again = drain(vllm_engine, [_ask("again", instances[0])])["again"]
    assert again.answers == ours["v0-0"].answers


def test_samples_are_named_by_their_seeds_and_carry_the_log_probabilities_of_the_policy(
    vllm_engine, transformers_engine, instances, adapters, drain
):
    policy = Policy(version=1, adapters=(adapters[4],))
    requests = [_sample("base", instances[0], (5, 6, 7)), _sample("policy", instances[0], (5, 6), policy)]
    results = drain(vllm_engine, requests)
    alone = drain(vllm_engine, [_sample("alone", instances[0], (6,))])["alone"]
    assert alone.edits[0].text == results["base"].edits[1].text
    assert len({edit.text for edit in results["base"].edits}) == 3
    greedy = [_sample("greedy", instances[0], (1,), policy, temperature=0.0)]
    ours, theirs = (drain(engine, greedy)["greedy"] for engine in (vllm_engine, transformers_engine))
    assert (ours.edits[0].text, ours.edits[0].finish_reason) == (theirs.edits[0].text, theirs.edits[0].finish_reason)
    assert ours.edits[0].token_ids == theirs.edits[0].token_ids
    assert ours.prompt_tokens == theirs.prompt_tokens
    for mine, other in zip(ours.edits[0].logprobs, theirs.edits[0].logprobs, strict=True):
        assert math.isclose(mine, other, abs_tol=1e-3)


def test_long_prompts_are_cut_and_counted_as_transformers_does(vllm_engine, transformers_engine, instances, drain):
    request = replace(_sample("long", instances[0], (1,), temperature=0.0), prompt=instances[0].prompt * 12)
    ours, theirs = (drain(engine, [request])["long"] for engine in (vllm_engine, transformers_engine))
    assert ours.prompt_truncated == theirs.prompt_truncated > 0
    assert ours.edits[0].token_ids == theirs.edits[0].token_ids


def test_bad_requests_fail_alone_and_cancelled_ones_vanish(vllm_engine, instances, adapters, tmp_path, drain):
    vllm_engine.submit(_ask("cancelled", instances[1], adapters[1]))
    vllm_engine.step()
    vllm_engine.cancel("cancelled")
    wide = read_adapter(adapters[0])
    factors = {name: (a_RI.repeat(2, 1), b_OR.repeat(1, 2)) for name, (a_RI, b_OR) in wide.factors.items()}
    write_adapter(tmp_path / "wide", replace(wide, rank=32, factors=factors))
    bad = [
        _ask("missing", instances[0], tmp_path / "missing"),
        _ask("wide", instances[0], tmp_path / "wide"),
        _sample("seedless", instances[0], ()),
        _ask("no-policy", instances[0], policy=Policy(version=1, adapters=(tmp_path / "missing",))),
    ]
    results = drain(vllm_engine, [*bad, _ask("good", instances[0], adapters[0])])
    assert set(results) == {"missing", "wide", "seedless", "no-policy", "good"}
    assert [type(results[name].error) for name in ("missing", "wide", "seedless", "no-policy")] == [
        StoreError,
        GenerateError,
        GenerateError,
        StoreError,
    ]
    assert "max_lora_rank to 32" in str(results["wide"].error)
    assert not isinstance(results["good"], RequestFailed)


def test_memory_and_loaded_adapters_stay_flat_over_hundreds(vllm_engine, instances, adapters, tmp_path, drain):
    source = read_adapter(adapters[0])
    prompts = (instances[0].questions[0].prompt,)
    num_bytes = sum(a_RI.nbytes + b_OR.nbytes for a_RI, b_OR in source.factors.values())

    def measure(numbers):
        requests = []
        for number in numbers:
            folder = tmp_path / str(number)
            write_adapter(folder, replace(source, alpha=source.alpha + number / 100))
            requests.append(AnswerRequest(request_id=str(number), policy=BASE, adapter=folder, prompts=prompts, max_new_tokens=1))
        results = drain(vllm_engine, requests)
        assert not [result for result in results.values() if isinstance(result, RequestFailed)]

    measure(range(100))
    before = resident_bytes()
    measure(range(100, 400))
    assert resident_bytes() - before < 300 * num_bytes / 3
    assert len(vllm_engine._adapters._held) <= 5
    assert len([path for path in vllm_engine._adapters.folder.iterdir() if path.is_dir()]) <= 5


def test_an_answer_goes_on_to_the_stop_of_its_request(vllm_engine, transformers_engine, instances, adapters, drain):
    """Each stop character is a matter of tokens, and the same one for both engines."""
    requests = [replace(_ask(f"stop-{stop!r}", instances[0], adapters[0], limit=24), stop=stop) for stop in ("\n", "e", "")]
    ours, theirs = drain(vllm_engine, requests), drain(transformers_engine, requests)
    for request in requests:
        assert ours[request.request_id].answers == theirs[request.request_id].answers
        assert not request.stop or all(request.stop not in answer for answer in ours[request.request_id].answers)
    refused = drain(vllm_engine, [replace(requests[0], stop="##")])[requests[0].request_id]
    assert "one character" in str(refused.error)


def test_an_engine_stepped_on_this_thread_has_no_children_that_could_outlive_it(vllm_engine, instances, drain):
    drain(vllm_engine, [_ask("childless", instances[0])])
    if not isinstance(vllm_engine._vllm, InProcessDriver):
        assert spawned_engines(os.getpid(), recursive=True)
        return
    deadline = time.monotonic() + 120  # for the engines of earlier tests to be gone
    while engines := spawned_engines(os.getpid(), recursive=True):
        assert time.monotonic() < deadline, engines
        time.sleep(0.05)


def test_arguments_that_vllm_refuses_say_what_to_do():
    with pytest.raises(ConfigError, match="no_such_argument"):
        make_generation_engine("vllm", model="builtin:seal-tiny", engine_args={"no_such_argument": 1})
    with pytest.raises(ConfigError, match="set engine: transformers"):
        make_generation_engine("vllm", model="random:tiny-llama")
