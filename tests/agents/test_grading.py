"""Grading beside the engine: all grades or a GradeError, never a default."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

import pytest

from agents.grading import Grades, GradingPool, TaskScore, grade_all
from protocol.jobs import EvaluateJob, GradedAnswer, PolicyRef, Question
from seal_runtime.errors import GradeError

QUESTIONS = tuple(Question(question_id=f"q{index}", prompt=f"Question {index}?", answers=("yes",)) for index in range(2))


def _job(job_id: str, scoring: Literal["mean", "task"] = "mean") -> EvaluateJob:
    policy = PolicyRef(version=0, chain=())
    return EvaluateJob(job_id=job_id, policy=policy, adapter=None, questions=QUESTIONS, max_new_tokens=4, stop="\n", scoring=scoring)


def is_yes(question: Question, answer: str) -> float:
    return float(answer in question.answers)


def verdicts(pool: GradingPool) -> list[tuple[str, Grades | GradeError]]:
    deadline = time.monotonic() + 20
    while not (found := pool.collect(0.0)):
        assert time.monotonic() < deadline, "no verdict came"
        time.sleep(0.002)
    return found


def test_grades_come_in_the_order_of_the_questions() -> None:
    pool = GradingPool(is_yes, num_threads=2, timeout_seconds=20)
    pool.submit(_job("job"), ["yes", "no"])
    expected = (GradedAnswer(question_id="q0", text="yes", score=1.0), GradedAnswer(question_id="q1", text="no", score=0.0))
    assert verdicts(pool) == [("job", Grades(answers=expected, score=0.5))]
    assert pool.collect(0.0) == []
    pool.close()


def _raises_grade_error(question: Question, answer: str) -> float:
    raise GradeError("the grading server said 503")


def _raises_anything(question: Question, answer: str) -> float:
    raise KeyError("verdict")


@pytest.mark.parametrize(
    ("grade", "reason"),
    [
        (_raises_grade_error, "503"),
        (_raises_anything, "grader broke on question q0: KeyError"),
        (lambda question, answer: 1.5, "in \\[0, 1\\]"),
        (lambda question, answer: float("nan"), "in \\[0, 1\\]"),
        (lambda question, answer: None, "grader broke"),
    ],
)
def test_a_broken_grader_is_a_grade_error(grade: Callable[[Question, str], float], reason: str) -> None:
    with pytest.raises(GradeError, match=reason):
        grade_all(grade, QUESTIONS, ["yes", "no"])
    pool = GradingPool(grade, num_threads=1, timeout_seconds=20)
    pool.submit(_job("job"), ["yes", "no"])
    ((job_id, verdict),) = verdicts(pool)
    assert job_id == "job"
    assert isinstance(verdict, GradeError)
    pool.close()


def test_missing_answers_are_a_grade_error() -> None:
    with pytest.raises(GradeError, match="each of 2 questions"):
        grade_all(is_yes, QUESTIONS, ["yes"])


def test_a_hanging_grader_meets_its_deadline_and_others_are_graded() -> None:
    release = threading.Event()

    def hangs_on_maybe(question: Question, answer: str) -> float:
        if answer == "maybe":
            release.wait(20)
        return is_yes(question, answer)

    pool = GradingPool(hangs_on_maybe, num_threads=2, timeout_seconds=0.2)
    pool.submit(_job("stuck"), ["maybe", "yes"])
    pool.submit(_job("fine"), ["yes", "yes"])
    found = dict(verdicts(pool))
    while "stuck" not in found:
        found |= dict(verdicts(pool))
    assert "no verdict within 0.2 s" in str(found["stuck"])
    release.set()
    pool.close()


def test_a_cancelled_job_gets_no_verdict() -> None:
    release, graded = threading.Event(), threading.Event()

    def waits(question: Question, answer: str) -> float:
        release.wait(20)
        graded.set()
        return 1.0

    pool = GradingPool(waits, num_threads=1, timeout_seconds=20)
    pool.submit(_job("running"), ["a", "b"])
    pool.submit(_job("waiting"), ["a", "b"])
    pool.cancel("running")
    pool.cancel("waiting")
    pool.cancel("unknown")
    release.set()
    pool.submit(_job("later"), ["a", "b"])
    assert [job_id for job_id, _ in verdicts(pool)] == ["later"]
    pool.close()


def _all_or_nothing(questions: Sequence[Question], answers: Sequence[str]) -> float:
    return float(all(answer in question.answers for question, answer in zip(questions, answers, strict=True)))


def test_a_job_that_asks_for_it_gets_the_tasks_score_of_all_its_answers() -> None:
    pool = GradingPool(is_yes, num_threads=1, timeout_seconds=20, task_score=_all_or_nothing)
    for job_id, scoring, answers, wanted in (("half", "task", ["yes", "no"], 0.0), ("whole", "task", ["yes", "yes"], 1.0)):
        pool.submit(_job(job_id, scoring), answers)
        ((_, verdict),) = verdicts(pool)
        assert isinstance(verdict, Grades)
        assert verdict.score == wanted
        assert [answer.score for answer in verdict.answers] == [float(answer == "yes") for answer in answers]
    pool.close()


@pytest.mark.parametrize(
    ("task_score", "reason"),
    [
        (None, "no method score"),
        (lambda questions, answers: 2.0, "in \\[0, 1\\]"),
        (lambda questions, answers: {}["x"], "broke on the answers"),
    ],
)
def test_without_a_usable_task_score_there_is_no_grade(task_score: TaskScore | None, reason: str) -> None:
    pool = GradingPool(is_yes, num_threads=1, timeout_seconds=20, task_score=task_score)
    pool.submit(_job("job", "task"), ["yes", "no"])
    ((_, verdict),) = verdicts(pool)
    assert isinstance(verdict, GradeError)
    assert re.search(reason, str(verdict))
    pool.close()
