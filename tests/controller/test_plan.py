"""The plan: which studies a run has, on which contexts, before any job."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from seal_runtime.config.topology import Topology
from seal_runtime.controller.plan import make_plan
from seal_runtime.errors import ConfigError, DataError

Make = Callable[..., Any]


def names(topology: Topology, task: Any) -> list[str]:
    return [study.name for study in make_plan(topology, task).studies]


def test_a_full_run_has_every_study_once(make_topology: Make, make_task: Make) -> None:
    assert names(make_topology(), make_task()) == [
        "round-1", "round-2", "heldout-v0", "heldout-v1", "heldout-v2", "no-update", "passage-only", "scripted",
        "passage-only-equal-steps", "retention-v0", "retention-v2",
    ]  # fmt: skip


def test_parts_can_be_turned_off(make_topology: Make, make_task: Make) -> None:
    topology = make_topology(evaluation={"num_contexts": 0, "retention": False})
    assert names(topology, make_task()) == ["round-1", "round-2"]
    topology = make_topology(run={"rounds": 0}, evaluation={"baselines": False})
    assert names(topology, make_task(scripted=False)) == ["heldout-v0", "retention-v0"]
    topology = make_topology(evaluation={"baselines": True, "retention": False}, run={"rounds": 1})
    assert "scripted" not in names(topology, make_task(scripted=False))


def test_the_policy_is_measured_every_so_many_rounds_and_after_the_last(make_topology: Make, make_task: Make) -> None:
    topology = make_topology(run={"rounds": 5}, evaluation={"every_rounds": 2, "baselines": False, "retention": False})
    assert names(topology, make_task())[5:] == ["heldout-v0", "heldout-v2", "heldout-v4", "heldout-v5"]


def test_improved_selection_measures_each_rounds_contexts_without_edits(make_topology: Make, make_task: Make) -> None:
    plan = make_plan(make_topology(algorithm={"select": "improved"}), make_task())
    assert [study.name for study in plan.of_round(2)] == ["round-2", "baseline-v1"]
    assert plan.study("baseline-v1").instances == plan.study("round-2").instances
    assert plan.study("baseline-v1").priority == plan.study("round-2").priority == (1, 0)


def test_contexts_stay_or_change_with_the_round_and_depend_on_the_seed(make_topology: Make, make_task: Make) -> None:
    def contexts(**sections: dict[str, object]) -> list[tuple[str, ...]]:
        plan = make_plan(make_topology(**sections), make_task(reward=30))
        return [tuple(instance.instance_id for instance in plan.study(f"round-{n}").instances) for n in (1, 2)]

    same, again = contexts()
    assert same == again
    first, second = contexts(algorithm={"resample_contexts": True})
    assert first != second
    assert contexts(run={"seed": 8})[0] != same
    assert contexts() == [same, again]


def test_held_out_contexts_do_not_depend_on_the_seed_and_are_of_the_split_asked_for(make_topology: Make, make_task: Make) -> None:
    for seed in (0, 1):
        plan = make_plan(make_topology(run={"seed": seed}), make_task())
        assert [instance.instance_id for instance in plan.study("heldout-v0").instances] == ["test-0", "test-1", "test-2"]
    plan = make_plan(make_topology(evaluation={"split": "validation"}), make_task())
    assert plan.study("no-update").instances[0].instance_id == "validation-0"


def test_too_few_contexts_are_used_and_said(make_topology: Make, make_task: Make) -> None:
    plan = make_plan(make_topology(), make_task(reward=2, test=1))
    assert plan.study("round-1").num_items == 2 * 2
    assert len(plan.notes) == 2
    assert "4 reward contexts were asked for, the task has 2" in plan.notes[0]


def test_nothing_to_learn_from_is_refused(make_topology: Make, make_task: Make) -> None:
    with pytest.raises(ConfigError, match="reward split"):
        make_plan(make_topology(), make_task(reward=0))
    with pytest.raises(ConfigError, match="something to do"):
        make_plan(make_topology(run={"rounds": 0}, evaluation={"num_contexts": 0, "retention": False}), make_task())


def test_unusable_instances_are_refused(make_topology: Make, make_task: Make) -> None:
    task = make_task()
    instances = list(task.instances("reward"))
    for broken, message in (
        ([dataclasses.replace(instances[0], questions=())], "no questions"),
        ([instances[0], instances[0]], "occurs twice"),
    ):
        task.instances = lambda split, broken=broken: broken
        with pytest.raises(DataError, match=message):
            make_plan(make_topology(), task)


def test_retention_questions_are_asked_in_chunks(make_topology: Make, make_task: Make) -> None:
    plan = make_plan(make_topology(), make_task(retention=85))
    assert [len(instance.questions) for instance in plan.study("retention-v0").instances] == [40, 40, 5]
