"""Make the grader that `task.grader` names: a rule on the text, a judge, or a function of one's own."""

from collections.abc import Callable
from typing import cast

from protocol.jobs import Question
from seal_runtime.config.judge import JudgeConfig
from seal_runtime.config.references import BUILTIN_GRADERS, task_function
from seal_runtime.errors import ConfigError
from seal_runtime.tasks.grading import grade_text
from seal_runtime.tasks.judge.judge import Judge
from seal_runtime.tasks.prompts import asked_question
from seal_runtime.tasks.squad_scores import exact_match, f1

Grade = Callable[[Question, str], float]


class JudgeGrader:
    """Grades by asking a judge the question without the words around it."""

    def __init__(self, config: JudgeConfig) -> None:
        self._judge = Judge(config)

    def __call__(self, question: Question, answer: str) -> float:
        """Return the judge's verdict. Raises GradeError."""
        return self._judge.grade(asked_question(question.prompt), question.answers, answer)

    def close(self) -> None:
        """Log what the judge was asked and what it cost."""
        self._judge.close()


def make_grader(name: str, judge: JudgeConfig) -> Grade:
    """Return a function that grades an answer to a question in [0, 1]; thread-safe. Raises ConfigError for a name that means none."""
    match name:
        case "contains":
            return lambda question, answer: grade_text("contains", answer, question.answers)
        case "exact":
            return lambda question, answer: grade_text("exact", answer, question.answers)
        case "em":
            return lambda question, answer: exact_match(answer, question.answers)
        case "f1":
            return lambda question, answer: f1(answer, question.answers)
        case "judge":
            return JudgeGrader(judge)
    if ":" not in name:
        raise ConfigError(f"expected a grader ({', '.join(BUILTIN_GRADERS)}) or module:function, got {name!r}")
    return cast(Grade, task_function(name))
