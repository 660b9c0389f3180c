"""A worker on a thread of its own: it may die, and what it held is answered all the same."""

import queue
from collections.abc import Sequence
from pathlib import Path

from agents.worker import Finished, Outcome
from protocol.jobs import EvaluateJob, EvaluateResult, Job, PolicyRef, Receipt
from protocol.messages import Assign, JobDone, JobFailed
from seal_runtime.errors import EngineDiedError
from seal_runtime.store.adapters import AdapterStore
from seal_runtime.ttt_server.worker_thread import Report, WorkerGone, WorkerThread

JOB = EvaluateJob(
    job_id="ttt-0/baseline-0",
    policy=PolicyRef(version=0, chain=()),
    adapter=None,
    questions=(),
    max_new_tokens=4,
    stop="\n",
    scoring="mean",
)
RESULT = EvaluateResult(answers=(), score=0.0, receipt=Receipt(adapter_sha256="", policy_version=0, policy_sha256s=(), probe_delta=0.0))


class MortalWorker:
    """Does its job in one step, or dies of it."""

    capacity = 4

    def __init__(self, *, lives: bool) -> None:
        self.is_closed = False
        self._lives = lives
        self._jobs: list[str] = []

    @property
    def must_step(self) -> bool:
        return bool(self._jobs)

    def begin(self, job: Job) -> None:
        self._jobs.append(job.job_id)

    def step(self) -> Sequence[Outcome]:
        if self._jobs and not self._lives:
            raise EngineDiedError("the engine's process is gone")
        done = [Finished(job_id=job_id, result=RESULT) for job_id in self._jobs]
        self._jobs.clear()
        return done

    def cancel(self, job_id: str) -> None:
        """Nothing is cancelled here."""

    def close(self) -> None:
        self.is_closed = True


def test_a_worker_whose_engine_dies_is_made_anew_and_the_job_done_again(tmp_path: Path) -> None:
    store, reports = AdapterStore(tmp_path), queue.SimpleQueue[Report]()
    makes: list[MortalWorker] = []

    def make() -> MortalWorker:
        makes.append(MortalWorker(lives=len(makes) > 0))
        return makes[-1]

    thread = WorkerThread("evaluator", make, store=store, post=reports.put, max_restarts=1)
    thread.start(10.0)
    for attempt in (1, 2):
        thread.put(Assign(job_id=JOB.job_id, attempt=attempt, job=JOB))
        answer = reports.get(timeout=10.0)
        assert isinstance(answer, JobFailed if attempt == 1 else JobDone)
        assert answer.attempt == attempt
    assert thread.close(10.0)
    assert [worker.is_closed for worker in makes] == [True, True]


def test_a_worker_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    reports = queue.SimpleQueue[Report]()
    thread = WorkerThread("evaluator", lambda: MortalWorker(lives=False), store=AdapterStore(tmp_path), post=reports.put, max_restarts=1)
    thread.start(10.0)
    for attempt in (1, 2):
        thread.put(Assign(job_id=JOB.job_id, attempt=attempt, job=JOB))
        assert isinstance(reports.get(timeout=10.0), JobFailed)
    gone = reports.get(timeout=10.0)
    assert isinstance(gone, WorkerGone)
    assert "died 2 times" in gone.error
