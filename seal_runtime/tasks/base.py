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


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoop:
    """How a self-edit wants to be trained on: its own learning rate (above 0) and passes over the sequences; the rest is `trainer`'s."""

    sequences: tuple[TrainingSequence, ...]
    learning_rate: float
    epochs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Untrained:
    """A self-edit that trains nothing, and why: it is examined on the policy alone, and that is its score."""

    reason: str


@runtime_checkable
class InnerLoopTask(Task, Protocol):
    """A task whose self-edits choose how they are trained on. An empty edit is left to `training_sequences`; optional."""

    def inner_loop(self, instance: Instance, edit: str, seed: int) -> InnerLoop | Untrained:
        """Turn a self-edit into an inner loop; whatever is drawn at random for it depends on the seed alone.

        Raises EditParseError as `training_sequences` does, and for the same edits whatever the seed.
        """
        ...


@runtime_checkable
class ScoringTask(Task, Protocol):
    """A task whose score is not the mean of the grades; optional. Retention questions keep the mean."""

    def score(self, questions: Sequence[Question], answers: Sequence[str]) -> float:
        """Return the score in [0, 1] of all answers to an instance's questions together. Needs no data, as `grade` does not.

        Raises GradeError when no verdict can be had.
        """
        ...


@runtime_checkable
class LongAnswerTask(Task, Protocol):
    """A task whose answers may go over several lines; optional."""

    def answer_stop(self) -> str:
        """Return the one character that ends an answer, "" when only the model's own end does. Without this method: a newline."""
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


@runtime_checkable
class DocumentTask(Task, Protocol):
    """A task that says how an edit becomes documents for continued pretraining, and whose file has several edits a context; optional."""

    def document_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Return the whole edit as one document, or as few, and the context. An empty edit gives the context alone.

        The same text of several edits is trained on once. Raises EditParseError as `training_sequences` does.
        """
        ...

    def scripted_edits(self, instance: Instance) -> Sequence[str]:
        """Return every edit that somebody else wrote for the context, best first."""
        ...
