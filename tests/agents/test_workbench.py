"""Jobs on the workbench with a worker that does what the test says."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from jobs_for_tests import adapt_job, propose_job

from agents.adapters import AdapterExchange
from agents.errors import AgentError
from agents.workbench import _MAX_KEPT_ADAPTERS, Answer, Workbench
from agents.worker import Failed, Finished, Outcome
from protocol.jobs import AdapterRef, Job, JobResult, PolicyRef, ProposeResult, Role
from protocol.messages import Assign, Cancel, JobDone, JobFailed
from seal_runtime.errors import GenerateError
from seal_runtime.store.adapters import AdapterStore

RESULT = ProposeResult(edits=(), prompt_tokens=1, prompt_truncated=0)


class PuppetWorker:
    """Ends jobs when told to, and breaks when told to."""

    capacity = 4

    def __init__(self) -> None:
        self.at_work: list[str] = []
        self.outcomes: list[Outcome] = []
        self.begin_error: Exception | None = None
        self.step_error: Exception | None = None

    @property
    def must_step(self) -> bool:
        return bool(self.at_work)

    def begin(self, job: Job) -> None:
        if self.begin_error is not None:
            raise self.begin_error
        self.at_work.append(job.job_id)

    def step(self) -> Sequence[Outcome]:
        if self.step_error is not None:
            raise self.step_error
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def cancel(self, job_id: str) -> None:
        self.at_work = [other for other in self.at_work if other != job_id]

    def close(self) -> None:
        self.at_work.clear()

    def finish(self, job_id: str, result: JobResult = RESULT) -> None:
        self.cancel(job_id)
        self.outcomes.append(Finished(job_id=job_id, result=result))


@pytest.fixture
def worker() -> PuppetWorker:
    return PuppetWorker()


@pytest.fixture
def bench(worker: PuppetWorker, tmp_path: Path) -> Workbench:
    return bench_for("proposer", worker, tmp_path)


def bench_for(role: Role, worker: PuppetWorker, folder: Path) -> Workbench:
    exchange = AdapterExchange(AdapterStore(folder), send=lambda message: None, is_shared=True)
    return Workbench(role=role, worker=worker, exchange=exchange)


def assign(job_id: str, attempt: int = 1) -> Assign:
    return Assign(job_id=job_id, attempt=attempt, job=propose_job(job_id))


def keys(answers: Sequence[Answer]) -> list[tuple[str, str, int]]:
    return [(type(answer).__name__, answer.job_id, answer.attempt) for answer in answers]


def test_a_job_is_begun_finished_and_forgotten(bench: Workbench, worker: PuppetWorker) -> None:
    bench.accept(assign("a", 3))
    assert bench.advance() == []
    assert (bench.job_ids, worker.at_work, bench.must_advance) == (("a",), ["a"], True)
    worker.finish("a")
    (answer,) = bench.advance()
    assert isinstance(answer, JobDone)
    assert (answer.job_id, answer.attempt, answer.result) == ("a", 3, RESULT)
    assert answer.duration_seconds >= 0
    assert (bench.job_ids, bench.must_advance) == ((), False)


def test_an_answered_job_is_done_again_when_it_is_assigned_again(bench: Workbench, worker: PuppetWorker) -> None:
    for attempt in (1, 2):
        bench.accept(assign("a", attempt))
        bench.advance()
        worker.finish("a")
        assert keys(bench.advance()) == [("JobDone", "a", attempt)]


def test_a_job_that_cannot_begin_fails_alone(bench: Workbench, worker: PuppetWorker) -> None:
    bench.accept(assign("before"))
    bench.advance()
    worker.begin_error = KeyError("oops")
    bench.accept(assign("broken"))
    assert keys(bench.advance()) == [("JobFailed", "broken", 1)]
    assert worker.at_work == ["before"]


def test_a_failed_outcome_keeps_its_verdict(bench: Workbench, worker: PuppetWorker) -> None:
    bench.accept(assign("a"))
    bench.advance()
    worker.outcomes.append(Failed(job_id="a", error=GenerateError("does not fit"), retryable=False))
    (answer,) = bench.advance()
    assert isinstance(answer, JobFailed)
    assert (answer.error_type, answer.reason, answer.retryable) == ("GenerateError", "does not fit", False)


def test_a_broken_engine_fails_all_jobs_at_work_as_retryable(bench: Workbench, worker: PuppetWorker) -> None:
    for job_id in ("a", "b"):
        bench.accept(assign(job_id))
    worker.step_error = MemoryError("cannot allocate")
    answers = bench.advance()
    assert keys(answers) == [("JobFailed", "a", 1), ("JobFailed", "b", 1)]
    assert all(isinstance(answer, JobFailed) and answer.retryable and "out of memory" in answer.reason for answer in answers)
    assert worker.at_work == []
    bench.check_engine()


def test_an_engine_that_breaks_three_times_in_a_row_ends_the_agent(bench: Workbench, worker: PuppetWorker) -> None:
    for _ in range(2):
        worker.step_error = RuntimeError("CUDA error")
        bench.accept(assign("a"))
        bench.advance()
        bench.check_engine()
    worker.step_error = None
    bench.accept(assign("b"))
    bench.advance()
    worker.finish("b")
    bench.advance()
    worker.step_error = RuntimeError("CUDA error")
    for _ in range(2):
        bench.accept(assign("a"))
        bench.advance()
        bench.check_engine()
    bench.accept(assign("a"))
    assert keys(bench.advance()) == [("JobFailed", "a", 1)]
    with pytest.raises(AgentError, match="broke 3 times in a row"):
        bench.check_engine()


def test_a_late_outcome_of_a_cancelled_job_is_no_answer(bench: Workbench, worker: PuppetWorker) -> None:
    bench.accept(assign("a", 2))
    bench.advance()
    bench.cancel(Cancel(job_id="a", attempt=1))
    assert bench.job_ids == ("a",)
    bench.cancel(Cancel(job_id="a", attempt=2))
    bench.cancel(Cancel(job_id="unknown", attempt=1))
    worker.finish("a")
    assert keys(bench.advance()) == []
    assert not bench.job_ids
    assert not worker.at_work


def test_a_job_of_another_role_is_refused(worker: PuppetWorker, tmp_path: Path) -> None:
    bench = bench_for("trainer", worker, tmp_path)
    bench.accept(assign("a"))
    bench.accept(Assign(job_id="other name", attempt=1, job=adapt_job("its own name")))
    assert keys(bench.advance()) == [("JobFailed", "a", 1), ("JobFailed", "other name", 1)]
    assert bench.job_ids == ()


def test_an_own_store_keeps_the_latest_policies_adapters_and_what_held_jobs_need(
    worker: PuppetWorker, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a continual run, where every sequence makes adapters that only its own later jobs need."""
    discarded: list[str] = []
    exchange = bench._exchange
    monkeypatch.setattr(exchange, "fetched", lambda sha256: True)
    monkeypatch.setattr(exchange, "discard", discarded.append)
    shas = [f"{number:064x}" for number in range(_MAX_KEPT_ADAPTERS + 3)]
    for number, sha256 in enumerate(shas):
        policy = PolicyRef(version=0, chain=(AdapterRef(sha256=sha256, rank=1, num_bytes=1),))
        bench.accept(Assign(job_id=f"job-{number}", attempt=1, job=replace(propose_job(f"job-{number}"), policy=policy)))
    bench.advance()
    for number in range(1, len(shas)):
        worker.finish(f"job-{number}")
    bench.advance()
    assert discarded == shas[1:3]
    worker.finish("job-0")
    bench.advance()
    assert discarded == shas[1:4]
