"""Grade answers beside the engine: graders may be remote and slow, and generation must not wait for them.

Invariant: a job's answers get all their grades and a score, or a GradeError; there is no default grade. The threads are daemons, so
that a grader that never returns cannot keep the process alive, and every job has a deadline.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial

from protocol.jobs import EvaluateJob, GradedAnswer, Question
from seal_runtime.algorithms.statistics import mean
from seal_runtime.errors import GradeError

Grade = Callable[[Question, str], float]
TaskScore = Callable[[Sequence[Question], Sequence[str]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grades:
    """The graded answers of a job in the order of its questions, and the score that they make."""

    answers: tuple[GradedAnswer, ...]
    score: float


_Work = tuple["Future[Grades]", EvaluateJob, tuple[str, ...]]


class GradingPool:
    """A few threads that call the task's grader, and the jobs that wait for them. `on_close` is called once at the end.

    `task_score` scores all answers of a job that asks for it; None where the task has no such thing.
    """

    def __init__(
        self,
        grade: Grade,
        *,
        num_threads: int,
        timeout_seconds: float,
        task_score: TaskScore | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._grade = grade
        self._task_score = task_score
        self._on_close = on_close
        self._timeout_seconds = timeout_seconds
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._waiting: dict[str, tuple[Future[Grades], float]] = {}
        self._threads = [threading.Thread(target=self._serve, name=f"grader-{index}", daemon=True) for index in range(num_threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: EvaluateJob, answers: Sequence[str]) -> None:
        """Have the answers of a job graded."""
        future: Future[Grades] = Future()
        self._waiting[job.job_id] = future, time.monotonic() + self._timeout_seconds
        self._work.put((future, job, tuple(answers)))

    def cancel(self, job_id: str) -> None:
        """Forget a job; a grader that is at it finishes for nothing. Unknown ids are ignored."""
        entry = self._waiting.pop(job_id, None)
        if entry is not None:
            entry[0].cancel()

    def collect(self, patience_seconds: float) -> list[tuple[str, Grades | GradeError]]:
        """Return the jobs whose grades, or the reason why there are none, have come; wait for the missing at most `patience_seconds`."""
        if patience_seconds:
            wait([future for future, _ in self._waiting.values()], timeout=patience_seconds)
        done = [(job_id, verdict) for job_id, entry in self._waiting.items() if (verdict := self._verdict(*entry)) is not None]
        for job_id, _ in done:
            self.cancel(job_id)
        return done

    def close(self) -> None:
        """Let the threads end after what they are at; does not wait for them."""
        for job_id in list(self._waiting):
            self.cancel(job_id)
        for _ in self._threads:
            self._work.put(None)
        if self._on_close is not None:
            self._on_close()
            self._on_close = None

    def _verdict(self, future: "Future[Grades]", deadline: float) -> Grades | GradeError | None:
        if future.done():
            error = future.exception()
            assert error is None or isinstance(error, GradeError), error
            return error or future.result()
        if time.monotonic() > deadline:
            return GradeError(f"the grader gave no verdict within {self._timeout_seconds:g} s; is it reachable?")
        return None

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            future, job, answers = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                graded = grade_all(self._grade, job.questions, answers)
                future.set_result(Grades(answers=graded, score=self._score(job, graded)))
            except GradeError as error:
                future.set_exception(error)

    def _score(self, job: EvaluateJob, graded: Sequence[GradedAnswer]) -> float:
        """Return the score of a job's answers as the job asks for it. Raises GradeError."""
        if job.scoring == "mean":
            return _verdict_of(lambda: mean([answer.score for answer in graded]), f"the answers of {job.job_id}")
        task_score = self._task_score
        if task_score is None:
            raise GradeError(
                f"job {job.job_id} asks for the task's score, and this agent's task has no method score; is it the same release?"
            )
        return _verdict_of(lambda: task_score(job.questions, [answer.text for answer in graded]), f"the answers of {job.job_id}")


def grade_all(grade: Grade, questions: Sequence[Question], answers: Sequence[str]) -> tuple[GradedAnswer, ...]:
    """Return the graded answers in the order of the questions. Raises GradeError, whatever the grader raised or returned instead."""
    if len(questions) != len(answers):
        raise GradeError(f"expected an answer to each of {len(questions)} questions, the engine gave {len(answers)}")
    return tuple(
        GradedAnswer(
            question_id=question.question_id,
            text=answer,
            score=_verdict_of(partial(grade, question, answer), f"question {question.question_id}"),
        )
        for question, answer in zip(questions, answers, strict=True)
    )


def _verdict_of(ask: Callable[[], float], what: str) -> float:
    try:
        score = float(ask())
    except GradeError:
        raise
    except Exception as error:  # a user's task may raise anything; it becomes a failed job, never a grade
        raise GradeError(f"the grader broke on {what}: {type(error).__name__}: {error}") from error
    if not (math.isfinite(score) and 0.0 <= score <= 1.0):
        raise GradeError(f"expected a grade in [0, 1] for {what}, the grader gave {score}")
    return score
