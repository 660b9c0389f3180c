from dataclasses import replace

import pytest
from statuses import STATUS, role

from seal_runtime.top.words import bottleneck, time_shares


def test_the_busiest_role_is_the_bottleneck() -> None:
    assert bottleneck(STATUS) == "trainers are busy 97 %, evaluators 31 %, proposers 20 %: add a trainer"


def test_roles_that_are_equally_busy_are_named_together() -> None:
    status = replace(STATUS, roles=(role("proposer", 20.0), role("trainer", 97.0), role("evaluator", 95.0)))
    assert bottleneck(status).endswith("add a trainer and an evaluator")


def test_a_run_in_which_nobody_is_busy_has_no_bottleneck() -> None:
    status = replace(STATUS, roles=(role("proposer", 20.0), role("trainer", 50.0), role("evaluator", 40.0)))
    assert bottleneck(status) == "trainers are busy 50 %, evaluators 40 %, proposers 20 %: no role holds the others up"


def test_when_all_are_busy_one_more_of_one_role_does_not_help() -> None:
    status = replace(STATUS, roles=(role("proposer", 97.0), role("trainer", 98.0), role("evaluator", 95.0)))
    assert bottleneck(status).endswith("all are at their limit")


def test_a_role_without_agents_comes_first() -> None:
    status = replace(STATUS, agents=tuple(agent for agent in STATUS.agents if agent.role != "trainer"))
    assert bottleneck(status) == "no trainer is here while 40 job(s) wait: attach one"


def test_a_run_that_is_over_is_told_in_the_past_over_all_its_time() -> None:
    status = replace(STATUS, phase="done", roles=(role("trainer", 30.0, recent=0.9), role("evaluator", 20.0)))
    assert bottleneck(status) == "trainers were busy 30 %, evaluators 20 %"


def test_time_shares_add_up() -> None:
    shares = time_shares(STATUS.roles)
    total = 20.0 + 97.0 + 31.0 + 0.1 + 80.0 + 3.0 + 69.0
    assert shares["adapting"] == pytest.approx(97.0 / total)
    assert shares["waiting"] == pytest.approx(152.0 / total)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert time_shares(()) == {}
