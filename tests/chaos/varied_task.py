"""The fictional task with grades that depend on every byte of an answer, so that engines without a model give rewards worth comparing."""

import hashlib

from protocol.jobs import Question
from seal_runtime.tasks.fictional import FictionalWorldTask


class VariedTask(FictionalWorldTask):
    """Grades an answer by its hash."""

    def grade(self, question: Question, answer: str) -> float:
        """Return a grade in [0, 1] that any change of question or answer changes."""
        return hashlib.sha256(f"{question.question_id}\0{answer}".encode()).digest()[0] / 255
