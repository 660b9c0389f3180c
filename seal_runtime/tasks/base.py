"""What a task is: the part of a run that says what is learned. Pure Python, no torch, usable in every process.

The controller asks a task for instances, prompts and training sequences; evaluators ask it to grade. Users write their
own: any class with these methods, named in a topology as `module:Class` (docs/tasks.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from protocol.jobs import Question, TrainingSequence

Split = Literal["reward", "validation", "test"]
SPLITS: tuple[Split, ...] = ("reward", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One context to learn from. `prompt` asks the policy for a self-edit; `questions` examine the adapted model without the context.

    `instance_id` is unique within the task and matches `[A-Za-z0-9._-]{1,64}`.
    """

    instance_id: str
    title: str
    context: str
    prompt: str
    questions: tuple[Question, ...]


@runtime_checkable
class Task(Protocol):
    """The contract between a run and what it learns."""

    def instances(self, split: Split) -> Sequence[Instance]:
        """Return the instances of a split, always in the same order. Splits share no instance and no context.

        Raises DataError when the data is missing or malformed.
        """
        ...

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Turn a self-edit into training sequences. An empty edit is the passage-only control.

        Raises EditParseError when the edit cannot be used: it then gets the lowest reward, 0.
        """
        ...

    def grade(self, question: Question, answer: str) -> float:
        """Return the grade of an answer in [0, 1]. Raises GradeError when no verdict can be had."""
        ...


@runtime_checkable
class ScriptedTask(Task, Protocol):
    """A task that also knows a ceiling and what the base model already knows; both optional."""

    def scripted_edit(self, instance: Instance) -> str:
        """Return an edit written with knowledge of the facts: the ceiling in the final table."""
        ...

    def retention_questions(self) -> tuple[Question, ...]:
        """Return questions about facts that the base model knows: does the policy forget?"""
        ...
