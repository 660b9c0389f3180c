"""The controller's own state machine in virtual time: nothing is lost, nothing is double, and the same arguments give the same run."""

import pytest
from plans import simulation, topology

from seal_runtime.planning.fleet import Fleet

SMALL = Fleet(proposers=1, trainers=2, evaluators=1, is_shared=False)
# two rounds of 6 x 2, three held-out measurements of 3, four baselines of 3, retention in 2 chunks, twice
SCORED = 2 * 12 + 3 * 3 + 4 * 3 + 2 * 2
ADAPTED = 2 * 24 + 3 * 3 + 3 * 3


def test_every_self_edit_is_scored_once():
    run = simulation(topology(), SMALL)
    assert run.run() > 0
    found = run.timeline
    assert found.num_scored == SCORED
    assert found.jobs["adapt"] == ADAPTED
    assert found.jobs["policy"] == found.jobs["credit"] == 2
    assert (found.num_invalid, found.num_failures, found.num_set_aside) == (0, 0, 0)
    assert len(found.round_seconds()) == len(found.update_seconds()) == 2
    assert all(process.busy_seconds <= found.ended_at + 1e-6 for process in run.processes)


def test_the_same_arguments_give_the_same_run():
    first, second = (simulation(topology(), SMALL, mtbf_hours=0.01, slow_share=0.5) for _ in range(2))
    assert first.run() == second.run()
    assert first.num_deaths == second.num_deaths > 0
    assert first.timeline.stage_seconds == second.timeline.stage_seconds


def test_another_seed_draws_other_machines_and_other_deaths():
    first = simulation(topology(), SMALL, mtbf_hours=0.01)
    second = simulation(topology(run={"seed": 1}), SMALL, mtbf_hours=0.01)
    assert first.run() != second.run()


def test_more_trainers_are_never_slower():
    seconds = [simulation(topology(), Fleet(proposers=1, trainers=count, evaluators=1, is_shared=False)).run() for count in (1, 2, 4, 8)]
    assert seconds == sorted(seconds, reverse=True)


def test_deaths_cost_time_and_lose_nothing():
    calm, harsh = simulation(topology(), SMALL), simulation(topology(limits={"max_deaths": 50}), SMALL, mtbf_hours=0.005)
    assert harsh.run() > calm.run()
    assert harsh.num_deaths > 3
    assert harsh.timeline.num_scored == SCORED
    assert harsh.timeline.num_invalid == 0


def test_proposer_and_evaluator_can_share_their_engines():
    shared = topology(evaluator={"share_engine": True})
    run = simulation(shared, Fleet(proposers=2, trainers=2, evaluators=2, is_shared=True), mtbf_hours=0.05)
    run.run()
    assert run.timeline.num_scored == SCORED
    assert [process.name for process in run.processes] == ["proposer-0", "proposer-1", "trainer-0", "trainer-1", "critic-0"]


def test_a_policy_lag_lets_rounds_overlap():
    calm = simulation(topology(run={"rounds": 4}), SMALL)
    ahead = simulation(topology(run={"rounds": 4}, algorithm={"contexts_per_round": 6, "edits_per_context": 2, "max_policy_lag": 1}), SMALL)
    calm.run()
    ahead.run()
    opened, updated = ahead.timeline.opened_at, ahead.timeline.updated_at
    assert opened["round-2"] < updated[1]
    assert calm.timeline.opened_at["round-2"] == calm.timeline.updated_at[1]


def test_a_slow_controller_is_what_bounds_a_run():
    run = simulation(topology(), Fleet(proposers=4, trainers=8, evaluators=4, is_shared=False), controller_seconds=0.1)
    seconds = run.run()
    assert run.controller_busy_seconds == pytest.approx(0.1 * sum(run.timeline.jobs.values()))
    assert seconds >= run.controller_busy_seconds
