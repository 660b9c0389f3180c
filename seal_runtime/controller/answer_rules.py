"""How a task's answers end and are scored, as its optional methods say (`seal_runtime.tasks.base`)."""

from dataclasses import dataclass
from typing import Literal

from seal_runtime.errors import ConfigError
from seal_runtime.tasks.base import LongAnswerTask, ScoringTask, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRules:
    """What every EvaluateJob of a run says; fields as there."""

    stop: str
    scoring: Literal["mean", "task"]


def answer_rules(task: Task) -> AnswerRules:
    """Return the rules of a task. Raises ConfigError for a stop that is no character."""
    stop = task.answer_stop() if isinstance(task, LongAnswerTask) else "\n"
    if not isinstance(stop, str) or len(stop) > 1:
        raise ConfigError(f'expected one character or "" from answer_stop of the task, got {stop!r}')
    return AnswerRules(stop=stop, scoring="task" if isinstance(task, ScoringTask) else "mean")
