"""Make the task that a topology names, and check that it keeps the contract of `seal_runtime.tasks.base`."""

import re
from collections.abc import Sequence
from functools import partial

from seal_runtime.config.references import task_class
from seal_runtime.config.topology import TaskConfig, Topology
from seal_runtime.errors import ConfigError, DataError
from seal_runtime.tasks.base import SPLITS, Instance, Split, Task

_INSTANCE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = ("instances", "training_sequences", "grade")


def make_task(config: TaskConfig) -> Task:
    """Make the task of a topology without reading its data: enough for grading.

    Raises ConfigError when the name, the options or the class are wrong.
    """
    if config.name == "fictional":
        from seal_runtime.tasks.fictional.task import FictionalWorldTask

        return FictionalWorldTask()
    if config.name == "squad":
        return _squad(config)
    if config.name == "arc":
        from seal_runtime.tasks.arc.task import ArcTask

        return ArcTask(config.arc)
    return _custom(config)


def make_checked_task(config: TaskConfig) -> Task:
    """Make the task and read all its instances once; the controller and `validate` start with this.

    Raises ConfigError as `make_task` does, and DataError when data is missing or an instance breaks the contract.
    """
    task = make_task(config)
    check_instances(task)
    return task


def check_instances(task: Task) -> None:
    """Check identifiers, questions, answers and that splits share nothing. Raises DataError that names what is wrong."""
    split_of_id: dict[str, Split] = {}
    split_of_context: dict[str, Split] = {}
    question_ids: set[str] = set()
    for split in SPLITS:
        instances = task.instances(split)
        if not instances and split == "reward":
            raise DataError("expected at least one instance in split 'reward', got none; nothing could be learned")
        for instance in instances:
            _check_instance(instance, split, question_ids)
            if instance.instance_id in split_of_id:
                other = split_of_id[instance.instance_id]
                raise DataError(f"expected unique instance ids, got {instance.instance_id!r} in split {split!r} and before in {other!r}")
            if split_of_context.setdefault(instance.context, split) != split:
                other = split_of_context[instance.context]
                raise DataError(
                    f"instance {instance.instance_id!r} of split {split!r}: expected a context of its own, got one of {other!r}"
                )
            split_of_id[instance.instance_id] = split


def check_task(topology: Topology) -> list[str]:
    """Read the task's data once, before any process starts, and say where a run asks for more contexts than there are.

    Raises ConfigError and DataError as `make_checked_task` does. May download a hub data set.
    """
    task = make_checked_task(topology.task)
    evaluation = topology.evaluation
    asked: Sequence[tuple[str, Split, int]] = (
        ("algorithm.contexts_per_round", "reward", topology.algorithm.contexts_per_round),
        ("evaluation.num_contexts", evaluation.split, evaluation.num_contexts),
        ("evaluation.cpt.num_contexts", evaluation.split, evaluation.cpt.num_contexts),
    )
    _check_sequences(topology, len(task.instances(evaluation.split)))
    return [
        f"{key}: {wanted} contexts asked for, split {split!r} has {available}; all of them are used"
        for key, split, wanted in asked
        if wanted > (available := len(task.instances(split)))
    ]


def _check_sequences(topology: Topology, available: int) -> None:
    continual, split = topology.evaluation.continual, topology.evaluation.split
    if continual.num_sequences and available < continual.sequence_length:
        raise ConfigError(
            f"evaluation.continual.sequence_length: expected at most the {available} contexts of split {split!r}, "
            f"got {continual.sequence_length}; lower it or add data"
        )


def _squad(config: TaskConfig) -> Task:
    from seal_runtime.tasks.given_edits import SquadTaskWithEdits
    from seal_runtime.tasks.squad import SquadTask

    if config.data is None:
        raise ConfigError(
            "task.data: expected a file or a hub data set for task squad, got nothing; set task.data=examples/data/passages.json"
        )
    make = SquadTask if config.edits is None else partial(SquadTaskWithEdits, edits=config.edits)
    return make(
        data=config.data,
        limit=config.limit,
        prompt=config.prompt,
        split_newlines=config.split_newlines,
        grader=config.grader,
        judge=config.judge,
    )


def _custom(config: TaskConfig) -> Task:
    found = task_class(config.name)
    try:
        task = found(**config.options)
    except TypeError as error:
        raise ConfigError(f"task.options: expected the keyword arguments of {config.name}, got {dict(config.options)}: {error}") from error
    if not isinstance(task, Task):
        missing = [name for name in _METHODS if not callable(getattr(task, name, None))]
        raise ConfigError(f"task.name: expected {config.name} to have the methods {', '.join(_METHODS)}; it lacks {', '.join(missing)}")
    return task


def _check_instance(instance: object, split: Split, question_ids: set[str]) -> None:
    if not isinstance(instance, Instance):
        raise DataError(f"split {split!r}: expected Instance objects (seal_runtime.tasks.base), got {type(instance).__name__}")
    where = f"instance {instance.instance_id!r} of split {split!r}"
    if not _INSTANCE_ID.fullmatch(instance.instance_id):
        raise DataError(f"{where}: expected an id of 1 to 64 letters, digits, dots, dashes and underscores")
    if not instance.prompt.strip() or not instance.context.strip():
        raise DataError(f"{where}: expected a prompt and a context with text, got an empty one")
    if not instance.questions:
        raise DataError(f"{where}: expected at least one question, got none")
    for question in instance.questions:
        if question.question_id in question_ids:
            raise DataError(f"{where}: expected unique question ids, got {question.question_id!r} twice")
        if not question.prompt.strip() or not question.answers:
            raise DataError(f"{where}, question {question.question_id!r}: expected a prompt and at least one gold answer")
        question_ids.add(question.question_id)
