"""Edits from a file in the reference's form."""

import json
from pathlib import Path

import pytest

from seal_runtime.config.checks import check_topology
from seal_runtime.config.topology import TaskConfig, Topology
from seal_runtime.errors import ConfigError, DataError
from seal_runtime.tasks.documents import scripted_edits
from seal_runtime.tasks.given_edits import SquadTaskWithEdits
from seal_runtime.tasks.registry import make_checked_task, make_task

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "seal-knowledge" / "iter0_train.json"


def rows(number: int = 8) -> list[dict[str, object]]:
    questions = [{"question": "Where?", "answer": "here"}]
    return [
        {
            "title": f"T{index}",
            "context": f"Context {index}.",
            "questions": questions,
            "completions": [" ", f"edit {index}\n", "other"],
        }
        for index in range(number)
    ]


def config(tmp_path: Path, data: list[dict[str, object]], edits: list[dict[str, object]] | None = None) -> TaskConfig:
    (tmp_path / "data.json").write_text(json.dumps(data))
    (tmp_path / "edits.json").write_text(json.dumps(edits if edits is not None else data))
    return TaskConfig(name="squad", data=str(tmp_path / "data.json"), edits=str(tmp_path / "edits.json"))


def test_each_passage_has_the_first_edit_with_text(tmp_path: Path) -> None:
    task = make_checked_task(config(tmp_path, rows()))
    assert isinstance(task, SquadTaskWithEdits)
    assert [task.scripted_edit(instance) for instance in task.instances("test")] == ["edit 0", "edit 4"]
    assert not hasattr(make_task(TaskConfig(name="squad", data=str(tmp_path / "data.json"))), "scripted_edit")


def test_one_completion_a_row_is_read_too(tmp_path: Path) -> None:
    data = [{key: value for key, value in row.items() if key != "completions"} | {"completion": "only"} for row in rows()]
    task = make_checked_task(config(tmp_path, data))
    assert task.scripted_edit(task.instances("test")[0]) == "only"  # type: ignore[attr-defined]


def test_a_measured_passage_without_an_edit_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'test', got none for 1 of 2, such as 'T4'"):
        make_checked_task(config(tmp_path, rows(), rows()[:4] + rows()[5:]))
    make_checked_task(config(tmp_path, rows(), rows()[:2] + rows()[4:6]))  # rewards need none


@pytest.mark.parametrize(
    "row", [{"title": "x"}, {"context": "c", "completions": "text"}, {"context": "c", "completions": [1]}, {"context": "c"}]
)
def test_another_form_is_named(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"edits\.json, row 1: expected"):
        make_checked_task(config(tmp_path, rows(), [row]))


def test_edits_are_for_squad_and_must_exist(tmp_path: Path) -> None:
    task = config(tmp_path, rows()).model_copy(update={"edits": str(tmp_path / "none.json")})
    with pytest.raises(ConfigError, match=r"task\.edits"):
        check_topology(Topology(task=task), require_gpus=False)
    with pytest.raises(ConfigError, match=r"task\.edits"):
        check_topology(Topology(task=TaskConfig(edits=str(tmp_path / "none.json"))), require_gpus=False)


@pytest.mark.parametrize("path", [path for path in (PUBLISHED,) if path.is_file()])
def test_the_published_edits_are_read(path: Path) -> None:
    published = json.loads(path.read_text())
    task = make_checked_task(TaskConfig(name="squad", data=str(path), edits=str(path)))
    first = task.instances("test")[0]
    assert task.scripted_edit(first) == published[0]["completions"][0].strip()  # type: ignore[attr-defined]


def test_all_edits_with_text_are_there_for_continued_pretraining(tmp_path: Path) -> None:
    task = make_checked_task(config(tmp_path, rows()))
    first = task.instances("test")[0]
    assert scripted_edits(task, first, 5) == ("edit 0", "other")
    assert scripted_edits(task, first, 1) == ("edit 0",)
