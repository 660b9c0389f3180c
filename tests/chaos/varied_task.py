"""The fictional task with grades that depend on every byte of an answer, so that engines without a model give rewards worth comparing.

It has the optional methods too: some edits cannot be parsed and are drawn again, some train nothing, the others choose how they train.
"""

import hashlib
from collections.abc import Sequence

from protocol.jobs import Question
from seal_runtime.errors import EditParseError
from seal_runtime.tasks.base import InnerLoop, Instance, Untrained
from seal_runtime.tasks.fictional import FictionalWorldTask


class VariedTask(FictionalWorldTask):
    """Lets an edit begin, and grades an answer, by its hash."""

    def inner_loop(self, instance: Instance, edit: str, seed: int) -> InnerLoop | Untrained:
        """Return a loop for two edits of three; the others cannot be parsed or train nothing."""
        number = _byte(edit)
        if number % 6 == 0:
            raise EditParseError("its hash says no")
        if number % 6 == 1:
            return Untrained(reason="its hash says so")
        sequences = self.training_sequences(instance, edit)
        return InnerLoop(sequences=sequences[seed % len(sequences) :], learning_rate=number / 10_000, epochs=2.5)

    def grade(self, question: Question, answer: str) -> float:
        """Return a grade in [0, 1] that any change of question or answer changes."""
        return _byte(f"{question.question_id}\0{answer}") / 255

    def score(self, questions: Sequence[Question], answers: Sequence[str]) -> float:
        """Return the grade of all answers together, another than their mean."""
        return _byte("\0".join(answers)) / 255


def _byte(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0]
