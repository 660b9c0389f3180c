"""The example of a task of one's own is short and keeps the contract."""

from pathlib import Path

import pytest

from seal_runtime.config.loading import load_topology
from seal_runtime.tasks.base import SPLITS, Task
from seal_runtime.tasks.registry import make_checked_task

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.chdir(ROOT)
    return make_checked_task(load_topology(ROOT / "examples" / "my-task.yaml").task)


def test_the_example_has_less_than_forty_lines() -> None:
    assert len((ROOT / "examples" / "my_task.py").read_text(encoding="utf-8").splitlines()) < 40


def test_options_reach_the_task(task: Task) -> None:
    ada = task.instances("reward")[0]
    assert (ada.instance_id, ada.questions[0].answers) == ("Ada", ("20",))


def test_every_split_has_instances(task: Task) -> None:
    assert [len(task.instances(split)) for split in SPLITS] == [4, 4, 4]


def test_edits_become_sequences_and_answers_are_graded(task: Task) -> None:
    ada = task.instances("reward")[0]
    assert [sequence.completion for sequence in task.training_sequences(ada, "one\n\ntwo")] == ["one", "two", ada.context]
    assert [sequence.completion for sequence in task.training_sequences(ada, "")] == [ada.context]
    assert task.grade(ada.questions[0], " 20 or so") == 1.0
    assert task.grade(ada.questions[0], "120") == 0.0
    assert task.grade(ada.questions[0], "") == 0.0
