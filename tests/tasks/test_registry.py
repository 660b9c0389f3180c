"""Making tasks from a topology: built-in and custom ones, and contracts that are broken."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.jobs import Question, TrainingSequence
from seal_runtime.config.topology import TaskConfig, Topology
from seal_runtime.errors import ConfigError, DataError
from seal_runtime.tasks.base import Instance, Split, Task
from seal_runtime.tasks.fictional.task import FictionalWorldTask
from seal_runtime.tasks.registry import check_instances, check_task, make_checked_task, make_task
from seal_runtime.tasks.squad import SquadTask

EXAMPLE = Path(__file__).parents[2] / "examples" / "data" / "passages.json"

GOOD = Instance(instance_id="a", title="T", context="C", prompt="P", questions=(Question(question_id="a.0", prompt="Q", answers=("A",)),))


class FixedTask:
    """A task with given instances."""

    def __init__(self, reward: tuple[Instance, ...] = (GOOD,), test: tuple[Instance, ...] = ()) -> None:
        self._splits: dict[Split, tuple[Instance, ...]] = {"reward": reward, "validation": (), "test": test}

    def instances(self, split: Split) -> tuple[Instance, ...]:
        return self._splits[split]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        return (TrainingSequence(prompt="", completion=edit or instance.context, weight=1.0),)

    def grade(self, question: Question, answer: str) -> float:
        return float(answer in question.answers)


def changed(**changes: object) -> Instance:
    return dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]


def test_fictional_keeps_the_contract() -> None:
    assert isinstance(make_checked_task(TaskConfig()), FictionalWorldTask)


def test_squad_gets_its_settings() -> None:
    task = make_checked_task(TaskConfig(name="squad", data=str(EXAMPLE), limit=4, prompt="self-qa", grader="exact"))
    assert isinstance(task, SquadTask)
    assert len(task.instances("reward")) == 2
    assert task.instances("reward")[0].prompt.endswith("Question 1: ")


def test_squad_without_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.data: expected a file or a hub data set"):
        make_task(TaskConfig(name="squad"))


def test_making_a_task_reads_no_data() -> None:
    task = make_task(TaskConfig(name="squad", data="/nowhere.json"))
    with pytest.raises(DataError, match="found none"):
        check_instances(task)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write a module into a new working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def _module(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return _module


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sqad", "did you mean squad"),
        ("nothing_like_it", r"expected a task \(fictional, squad, arc\) or module:Class"),
        (":Task", "expected a task"),
        ("no_such_module_here:Task", "expected an importable module"),
        ("json:NoSuchClass", "expected a class NoSuchClass in module json"),
        ("json:dumps", "expected a class dumps"),
        ("collections:Counter", "lacks instances, training_sequences, grade"),
    ],
)
def test_wrong_name_is_explained(name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        make_task(TaskConfig(name=name))


def test_module_that_does_not_compile_is_explained(module: Callable[[str, str], str]) -> None:
    name = module("broken_task", "def x(:\n")
    with pytest.raises(ConfigError, match="SyntaxError"):
        make_task(TaskConfig(name=f"{name}:Task"))


def test_wrong_options_are_explained(module: Callable[[str, str], str]) -> None:
    name = module("optional_task", "class Task:\n    def __init__(self, size=1):\n        pass\n")
    with pytest.raises(ConfigError, match=r"task\.options: expected the keyword arguments of optional_task:Task, got \{'sise': 2\}"):
        make_task(TaskConfig(name=f"{name}:Task", options={"sise": 2}))


def test_a_task_that_keeps_the_contract_passes() -> None:
    task: Task = FixedTask(
        test=(changed(instance_id="b", context="D", questions=(dataclasses.replace(GOOD.questions[0], question_id="b"),)),)
    )
    check_instances(task)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (FixedTask(reward=()), "expected at least one instance in split 'reward'"),
        (FixedTask(reward=(changed(instance_id="no spaces"),)), "expected an id of 1 to 64"),
        (FixedTask(reward=(changed(instance_id="x" * 65),)), "expected an id of 1 to 64"),
        (FixedTask(reward=(changed(prompt=" "),)), "expected a prompt and a context"),
        (FixedTask(reward=(changed(questions=()),)), "expected at least one question"),
        (FixedTask(reward=(changed(questions=GOOD.questions * 2),)), "expected unique question ids, got 'a.0' twice"),
        (
            FixedTask(reward=(changed(questions=(Question(question_id="q", prompt="Q", answers=()),)),)),
            "expected a prompt and at least one gold answer",
        ),
        (
            FixedTask(test=(changed(context="D", questions=(Question(question_id="z", prompt="Q", answers=("A",)),)),)),
            "expected unique instance ids, got 'a' in split 'test' and before in 'reward'",
        ),
        (
            FixedTask(test=(changed(instance_id="b", questions=(Question(question_id="z", prompt="Q", answers=("A",)),)),)),
            "instance 'b' of split 'test': expected a context of its own, got one of 'reward'",
        ),
        (FixedTask(reward=({"instance_id": "a"},)), "expected Instance objects"),  # type: ignore[arg-type]
    ],
)
def test_broken_contract_is_named(task: Task, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        check_instances(task)
    assert expected in str(caught.value)


def test_sizes_beyond_the_data_are_warnings() -> None:
    squad = {"task": {"name": "squad", "data": str(EXAMPLE)}}
    fitting = {"algorithm": {"contexts_per_round": 8}, "evaluation": {"num_contexts": 4}}
    assert check_task(Topology.model_validate(squad | fitting)) == []
    assert check_task(Topology.model_validate(squad)) == [
        "algorithm.contexts_per_round: 32 contexts asked for, split 'reward' has 8; all of them are used",
        "evaluation.num_contexts: 40 contexts asked for, split 'test' has 4; all of them are used",
    ]


def test_a_sequence_longer_than_the_split_is_refused_before_the_start() -> None:
    def evaluation(**continual: int) -> Topology:
        cpt = {"num_contexts": 9}
        sections = {"algorithm": {"contexts_per_round": 8}, "task": {"name": "squad", "data": str(EXAMPLE)}}
        return Topology.model_validate({**sections, "evaluation": {"num_contexts": 4, "cpt": cpt, "continual": continual}})

    (warning,) = check_task(evaluation(num_sequences=1, sequence_length=4))
    assert warning == "evaluation.cpt.num_contexts: 9 contexts asked for, split 'test' has 4; all of them are used"
    with pytest.raises(ConfigError, match="expected at most the 4 contexts of split 'test', got 8"):
        check_task(evaluation(num_sequences=1))
