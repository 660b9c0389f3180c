"""The controller tells each alarm once, in its log and in its status."""

from types import SimpleNamespace
from typing import Any, cast

from protocol.status import StudyStatus
from seal_runtime.controller.agents_table import AgentsTable
from seal_runtime.controller.alarm_watch import AlarmWatch


def progress(name: str, version: int, unparsed: int) -> Any:
    status = StudyStatus(
        study=name, policy_version=version, num_items=100, num_scored=100, num_invalid=0, num_unparsed=unparsed, mean_score=0.5,
        score_stderr=0.01, unique_share=1.0,
    )  # fmt: skip
    return SimpleNamespace(status=lambda: status)


def test_an_alarm_is_new_once_and_holds_while_its_rule_does() -> None:
    studies = {"round-1": progress("round-1", 0, 2)}
    watch = AlarmWatch(cast(Any, SimpleNamespace(studies=studies)), AgentsTable())
    assert watch.new(0.0) == []
    studies["round-2"] = progress("round-2", 1, 40)
    assert watch.new(1.0) == [], "it looks now and then only"
    assert [alarm.kind for alarm in watch.new(3.0)] == ["parse_failures"]
    assert watch.new(6.0) == []
    assert [alarm.kind for alarm in watch.all(6.0)] == ["parse_failures"]
    studies["round-3"] = progress("round-3", 2, 2)
    assert watch.all(9.0) == ()
