"""One vLLM under proposer and evaluator: policies of different versions take turns, and nobody waits for ever."""

import time

from protocol.jobs import SamplingSpec
from seal_runtime.engines.base import AnswerRequest, Policy, RequestFailed, SampleRequest
from seal_runtime.engines.shared import SharedEngine

BASE = Policy(version=0, adapters=())
DEADLINE_SECONDS = 240.0


def _ask(name, instance, adapter, policy):
    prompts = tuple(question.prompt for question in instance.questions[:4])
    return AnswerRequest(request_id=name, policy=policy, adapter=adapter, prompts=prompts, max_new_tokens=6)


def _sample(name, instance, policy):
    sampling = SamplingSpec(temperature=0.0, top_p=1.0, max_new_tokens=12)
    return SampleRequest(request_id=name, policy=policy, prompt=instance.prompt, sampling=sampling, seeds=(1, 2))


def _run(steady, make_steady, other, wanted):
    """Keep three requests of one role at work without end until all of the other role's are back; return what each got."""
    found, others, serial, deadline = {}, {}, 0, time.monotonic() + DEADLINE_SECONDS
    for request in wanted:
        other.submit(request)
    while other.num_pending:
        assert time.monotonic() < deadline, f"starved: {other.num_pending} of {len(wanted)} still wait, the other role has {len(found)}"
        while steady.num_pending < 3:
            serial += 1
            steady.submit(make_steady(serial))
        for seat, results in ((steady, found), (other, others)):
            results.update({result.request_id: result for result in seat.step()})
    while steady.num_pending:
        found.update({result.request_id: result for result in steady.step()})
    return found, others


def test_evaluations_of_one_version_and_proposals_of_the_next_all_end(vllm_engine, transformers_engine, instances, adapters, drain):
    shared = SharedEngine(vllm_engine)
    proposer, evaluator = shared.seat("proposer"), shared.seat("evaluator")
    newer = Policy(version=1, adapters=(adapters[0],))
    wanted = [_ask(f"held-out-{index}", instances[index], adapters[index], BASE) for index in (1, 2, 3)]
    proposed, answered = _run(proposer, lambda serial: _sample(f"new-{serial}", instances[serial % 3], newer), evaluator, wanted)
    expected = drain(transformers_engine, [*wanted, _sample("new", instances[1], newer)])
    assert {name: result.answers for name, result in answered.items()} == {
        request.request_id: expected[request.request_id].answers for request in wanted
    }
    assert not any(isinstance(result, RequestFailed) for result in proposed.values())
    assert proposed["new-1"].edits[0].token_ids == expected["new"].edits[0].token_ids


def test_proposals_of_an_old_version_end_while_evaluations_of_the_next_go_on_and_on(vllm_engine, instances, adapters):
    shared = SharedEngine(vllm_engine)
    proposer, evaluator = shared.seat("proposer"), shared.seat("evaluator")
    newer = Policy(version=1, adapters=(adapters[0],))
    wanted = [_sample(f"old-{index}", instances[index], BASE) for index in range(3)]
    answered, proposed = _run(evaluator, lambda serial: _ask(f"e-{serial}", instances[4], adapters[4], newer), proposer, wanted)
    assert set(proposed) == {"old-0", "old-1", "old-2"}
    assert not any(isinstance(result, RequestFailed) for result in (*answered.values(), *proposed.values()))


def test_requests_at_work_end_on_the_version_that_they_began_with(vllm_engine, instances, adapters, drain):
    newer = Policy(version=1, adapters=(adapters[0],))
    alone = drain(vllm_engine, [_sample("alone", instances[0], BASE)])["alone"]
    shared = SharedEngine(vllm_engine)
    proposer, evaluator = shared.seat("proposer"), shared.seat("evaluator")
    proposer.submit(_sample("old", instances[0], BASE))
    shared.engine._admit()
    evaluator.submit(_ask("new", instances[1], adapters[1], newer))
    results = {}
    while proposer.num_pending or evaluator.num_pending:
        results.update({result.request_id: result for seat in (proposer, evaluator) for result in seat.step()})
    assert results["old"].edits == alone.edits
    assert not isinstance(results["new"], RequestFailed)
