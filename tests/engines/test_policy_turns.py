"""Whose turn it is on an engine that serves one policy at a time."""

import itertools
from types import SimpleNamespace

import pytest

from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.base import AnswerRequest, Policy
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.policy_turns import PATIENCE_FOLDS, PATIENCE_SECONDS, Waiting, next_policy
from seal_runtime.engines.transformers_generation import TransformersGenerationEngine
from seal_runtime.store.adapters import adapter_sha256


def _next(served, waiting, *, busy, now, fold_seconds=0.0):
    entries = [Waiting(policy=policy, since=since) for policy, since in waiting]
    return next_policy(served, entries, busy=busy, fold_seconds=fold_seconds, now=now)


def test_the_served_policy_goes_on_while_the_others_have_not_waited_long():
    assert _next("old", [("new", 9.9), ("old", 9.95)], busy=True, now=10.0) == "old"
    assert _next("old", [("new", 9.9), ("old", 9.95)], busy=False, now=10.0) == "old"


def test_another_policy_begins_when_the_served_one_has_nothing_left():
    assert _next("old", [("new", 9.9)], busy=True, now=10.0) is None
    assert _next("old", [("new", 9.9)], busy=False, now=10.0) == "new"
    assert _next("old", [], busy=False, now=10.0) is None


def test_patience_ends_whatever_else_is_submitted_and_the_longest_wait_is_over_first():
    waiting = [("old", 10.0), ("new", 9.0), ("newer", 9.2)]
    assert _next("old", waiting, busy=True, now=9.0 + PATIENCE_SECONDS) is None
    assert _next("old", waiting, busy=False, now=9.0 + PATIENCE_SECONDS) == "new"


def test_patience_grows_with_the_cost_of_a_fold():
    waiting = [("old", 10.0), ("new", 9.0)]
    assert _next("old", waiting, busy=False, now=9.0 + PATIENCE_FOLDS * 3.0 - 0.1, fold_seconds=3.0) == "old"
    assert _next("old", waiting, busy=False, now=9.0 + PATIENCE_FOLDS * 3.0, fold_seconds=3.0) == "new"


@pytest.mark.parametrize("fold_seconds", [0.0, 2.0])
def test_two_policies_with_work_without_end_both_advance_and_folding_takes_a_fifth_at_most(fold_seconds):
    """Each has always a request waiting, which takes a tenth of a second; time is simulated."""
    served, now, folding, done = "a", 0.0, 0.0, {"a": 0, "b": 0}
    since = {"a": 0.0, "b": 0.0}
    while now < 200.0:
        chosen = _next(served, list(since.items()), busy=False, now=now, fold_seconds=fold_seconds)
        assert chosen is not None
        if chosen != served:
            served, now, folding = chosen, now + fold_seconds, folding + fold_seconds
        now += 0.1
        done[served] += 1
        since[served] = now
    assert min(done.values()) > 0.4 * sum(done.values())
    assert folding <= now / 5


def test_chains_of_one_version_are_answered_as_if_each_were_alone(adapt_request, drain):
    merged = [adapt_request(seed) for seed in (1, 2)]
    drain(BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=2), merged)
    chains = [(), *((request.output_dir,) for request in merged), tuple(request.output_dir for request in merged)]
    served = itertools.product(chains, (None, merged[0].output_dir))
    requests = [
        AnswerRequest(
            request_id=f"request-{index}",
            policy=Policy(version=3, adapters=chain),
            adapter=adapter,
            prompts=("the river", "a town"),
            max_new_tokens=6,
        )
        for index, (chain, adapter) in enumerate(served)
    ]
    alone = {}
    for request in requests:
        alone |= drain(TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=16), [request])
    together = drain(TransformersGenerationEngine(load_model("random:tiny-llama"), max_batch_rows=16), requests[::-1])
    assert together == alone
    assert len({output.answers for output in alone.values()}) > 1
    for request in requests:
        assert together[request.request_id].policy_sha256s == tuple(map(adapter_sha256, request.policy.adapters))


def test_a_chain_is_not_kept_waiting_by_another_of_its_version_that_always_has_work(adapt_request, drain, monkeypatch):
    """Time is simulated: an hour passes at every look at the clock, so that whoever waits is overdue."""
    engine = BatchedAdaptEngine(load_model("random:tiny-llama"), num_slots=1)
    update = adapt_request(50)
    drain(engine, [update])
    hours = itertools.count()
    monkeypatch.setattr("seal_runtime.engines.adapt.time", SimpleNamespace(monotonic=lambda: 3600.0 * next(hours)))
    monkeypatch.setattr("seal_runtime.engines.adapt._STEP_SECONDS", 1e9)
    for seed in range(3):
        engine.submit(adapt_request(seed))
    engine.submit(adapt_request(9, policy=Policy(version=0, adapters=(update.output_dir,))))
    finished = []
    for seed in range(10, 16):
        finished += [output.request_id for output in engine.step()]
        engine.submit(adapt_request(seed))
    assert "job-9" in finished
