"""The grader of the benchmark against the published code: gold contained, as slow as one wants, with its calls counted."""

import threading
import time

from protocol.jobs import Question
from seal_runtime.tasks.grading import grade_text


class CountedGrader:
    """Grades in [0, 1]. An empty answer is wrong without a call, as in the published code. Thread-safe."""

    def __init__(self, latency_seconds: float) -> None:
        self.num_calls = 0
        self._latency_seconds = latency_seconds
        self._lock = threading.Lock()

    def __call__(self, question: Question, answer: str) -> float:
        """Return the grade of an answer."""
        if not answer:
            return 0.0
        with self._lock:
            self.num_calls += 1
        if self._latency_seconds:
            time.sleep(self._latency_seconds)
        return grade_text("contains", answer, question.answers)
