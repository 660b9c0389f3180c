"""What continued pretraining asks of any task: an edit as documents, and the edits that somebody else wrote."""

from collections.abc import Sequence
from typing import Any, cast

from protocol.jobs import TrainingSequence
from seal_runtime.tasks.base import DocumentTask, Instance, ScriptedTask, Task


def document_sequences(task: Task, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
    """Return an edit as documents, and the context: the task's own way, else its training sequences. Raises EditParseError."""
    if callable(getattr(task, "document_sequences", None)):
        return tuple(cast(DocumentTask, task).document_sequences(instance, edit))
    return tuple(task.training_sequences(instance, edit))


def scripted_edits(task: Task, instance: Instance, at_most: int) -> Sequence[str]:
    """Return the edits that somebody else wrote for a context: all that the task has, else its one."""
    many: Any = getattr(task, "scripted_edits", None)
    return tuple(many(instance))[:at_most] if callable(many) else (cast(ScriptedTask, task).scripted_edit(instance),)
