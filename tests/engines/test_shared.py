"""One engine under two roles: each sees its own requests only, and the results are those of engines of their own."""

import pytest

from protocol.jobs import SamplingSpec
from seal_runtime.engines.base import AnswerRequest, Policy, RequestFailed, SampleRequest
from seal_runtime.engines.factory import make_generation_engine
from seal_runtime.engines.shared import SharedEngine
from seal_runtime.errors import EngineDiedError

BASE = Policy(version=0, adapters=())
SAMPLING = SamplingSpec(temperature=1.0, top_p=0.95, max_new_tokens=12)


def _sample(name, seeds=(1, 2)):
    return SampleRequest(request_id=name, policy=BASE, prompt=f"Topic: {name}", sampling=SAMPLING, seeds=seeds)


def _ask(name):
    return AnswerRequest(request_id=name, policy=BASE, adapter=None, prompts=(f"Q: {name}?", "Q: who?"), max_new_tokens=4)


def _seats(engine="fake", model="", **args):
    shared = SharedEngine(make_generation_engine(engine, model=model, engine_args=args))
    return shared, shared.seat("proposer"), shared.seat("evaluator")


def _drain(seats):
    results = [{} for _ in seats]
    while any(seat.num_pending for seat in seats):
        for seat, found in zip(seats, results, strict=True):
            if seat.num_pending:
                found.update({result.request_id: result for result in seat.step()})
    return results


@pytest.mark.parametrize(("engine", "model"), [("fake", ""), ("transformers", "random:tiny-llama")])
def test_results_are_those_of_engines_of_their_own(engine, model):
    samples, questions = [_sample(f"s{index}") for index in range(3)], [_ask(f"q{index}") for index in range(4)]
    _, proposer, evaluator = _seats(engine, model)
    for request in samples:
        proposer.submit(request)
    for request in questions:
        evaluator.submit(request)
    together = _drain([proposer, evaluator])
    apart = []
    for requests in (samples, questions):
        alone = make_generation_engine(engine, model=model)
        for request in requests:
            alone.submit(request)
        apart += _drain([alone])
    assert together == apart
    assert [set(found) for found in together] == [{"s0", "s1", "s2"}, {"q0", "q1", "q2", "q3"}]


def test_equal_ids_of_two_roles_do_not_meet():
    _, proposer, evaluator = _seats()
    proposer.submit(_sample("same"))
    evaluator.submit(_ask("same"))
    sampled, answered = _drain([proposer, evaluator])
    assert hasattr(sampled["same"], "edits")
    assert hasattr(answered["same"], "answers")


def test_a_role_cancels_its_own_requests_only_also_when_they_are_done():
    _, proposer, evaluator = _seats()
    proposer.submit(_sample("same"))
    evaluator.submit(_ask("same"))
    evaluator.submit(_ask("stays"))
    evaluator.cancel("same")
    evaluator.cancel("unknown")
    sampled, answered = _drain([proposer, evaluator])
    assert (set(sampled), set(answered)) == ({"same"}, {"stays"})
    proposer.submit(_sample("done"))
    evaluator.submit(_ask("mine"))
    evaluator.step()
    assert proposer.mailbox
    proposer.cancel("done")
    assert proposer.num_pending == 0
    assert proposer.mailbox == []


def test_results_of_the_other_role_wait_in_its_mailbox_and_cost_no_step():
    shared, proposer, evaluator = _seats()
    proposer.submit(_sample("one"))
    evaluator.submit(_ask("two"))
    assert [result.request_id for result in proposer.step()] == ["one"]
    assert shared.engine.num_pending == 0
    assert evaluator.num_pending == 1
    assert [result.request_id for result in evaluator.step()] == ["two"]
    assert evaluator.num_pending == 0


def test_the_engine_ends_with_its_last_role_and_the_others_requests_survive(monkeypatch):
    shared, proposer, evaluator = _seats(delay_seconds=0.05)
    closed = []
    monkeypatch.setattr(shared.engine, "close", lambda: closed.append(True))
    proposer.submit(_sample("dropped"))
    evaluator.submit(_ask("kept"))
    proposer.close()
    proposer.close()
    assert closed == []
    (found,) = _drain([evaluator])
    assert set(found) == {"kept"}
    evaluator.close()
    assert closed == [True]


def test_failures_reach_the_role_that_asked():
    _, proposer, evaluator = _seats(fail_substring="poison")
    proposer.submit(_sample("poison"))
    evaluator.submit(_ask("fine"))
    sampled, answered = _drain([proposer, evaluator])
    assert isinstance(sampled["poison"], RequestFailed)
    assert not isinstance(answered["fine"], RequestFailed)


def test_an_engine_that_breaks_breaks_under_every_role_with_work_and_under_nobody_later(monkeypatch):
    shared, proposer, evaluator = _seats()

    def broken():
        raise EngineDiedError("gone")

    proposer.submit(_sample("one"))
    evaluator.submit(_ask("two"))
    with monkeypatch.context() as patch:
        patch.setattr(shared.engine, "step", broken)
        with pytest.raises(EngineDiedError, match="gone"):
            proposer.step()
        proposer.cancel("one")
        with pytest.raises(EngineDiedError, match="gone"):
            evaluator.step()
        proposer.submit(_sample("again"))
        with pytest.raises(EngineDiedError, match="gone"):
            evaluator.step()
    proposer.cancel("again")
    evaluator.cancel("two")
    evaluator.submit(_ask("new"))
    proposer.submit(_sample("new"))
    sampled, answered = _drain([proposer, evaluator])
    assert (set(sampled), set(answered)) == ({"new"}, {"new"})
