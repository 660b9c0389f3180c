"""The jobs that an agent holds, from the lease to the answer: fetch adapters, let the worker do the job, deliver what it made.

Invariant: every job accepted and not cancelled gives exactly one JobDone or JobFailed, and the failure of one job touches no other.
Knows no socket and no life cycle: messages come in as arguments and go out as return values.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from agents.adapters import AdapterExchange
from agents.errors import AgentError, error_type, reason
from agents.job_fields import job_fields
from agents.policies import adapters_of
from agents.worker import Failed, Outcome, Worker
from protocol.jobs import ROLE_OF_JOB, AdaptJob, AdaptResult, CreditJob, EvaluateJob, Job, JobResult, Role
from protocol.messages import Assign, Cancel, JobDone, JobFailed
from seal_runtime.errors import EngineDiedError

log = structlog.get_logger()

Answer = JobDone | JobFailed
_MAX_ENGINE_FAILURES = 3
_MAX_KEPT_ADAPTERS = 64
"""Adapters of policies that an agent with a store of its own keeps for the next job: a continual sequence has a chain of its own."""


@dataclass(slots=True, kw_only=True)
class _Held:
    job: Job
    attempt: int
    stage: Literal["fetching", "working", "delivering"]
    started_at: float
    started_monotonic: float
    result: AdaptResult | None = None


class Workbench:
    """Moves held jobs through their stages."""

    def __init__(self, *, role: Role, worker: Worker, exchange: AdapterExchange) -> None:
        self._role = role
        self._worker = worker
        self._exchange = exchange
        self._held: dict[str, _Held] = {}
        self._answers: list[Answer] = []
        self._engine_failures = 0
        self._kept: dict[str, None] = {}

    @property
    def job_ids(self) -> tuple[str, ...]:
        """Return the jobs held, oldest first."""
        return tuple(self._held)

    @property
    def must_advance(self) -> bool:
        """Say whether there is work to do right now, rather than something to wait for."""
        return self._worker.must_step or bool(self._answers)

    def accept(self, assign: Assign) -> None:
        """Take a job. One that is already held only gets the new attempt: its result would be the same."""
        held = self._held.get(assign.job_id)
        if held is not None:
            log.info("job_assigned_again", **job_fields(assign.job_id, assign.attempt), held_attempt=held.attempt)
            held.attempt = assign.attempt
            return
        self._held[assign.job_id] = _Held(
            job=assign.job, attempt=assign.attempt, stage="fetching", started_at=time.time(), started_monotonic=time.monotonic()
        )
        log.info("job_started", **job_fields(assign.job_id, assign.attempt), kind=type(assign.job).__name__)
        if ROLE_OF_JOB[type(assign.job)] != self._role or assign.job.job_id != assign.job_id:
            given = f"{type(assign.job).__name__} {assign.job.job_id!r} as {assign.job_id!r}"
            self._fail(assign.job_id, AgentError(f"expected a job for a {self._role}, got {given}"), retryable=True)

    def cancel(self, cancel: Cancel) -> None:
        """Drop a job if it is held with this attempt."""
        held = self._held.get(cancel.job_id)
        if held is not None and held.attempt == cancel.attempt:
            self._worker.cancel(cancel.job_id)
            self._forget(cancel.job_id)
            log.info("job_cancelled", **job_fields(cancel.job_id, cancel.attempt))

    def advance(self) -> Sequence[Answer]:
        """Begin what has its adapters, step the worker, deliver adapters; return the answers that are due."""
        self._begin_fetched()
        for outcome in self._step_worker():
            self._end(outcome)
        self._finish_delivered()
        answers, self._answers = self._answers, []
        return answers

    def check_engine(self) -> None:
        """Raise AgentError when the engine has broken several times with nothing finished in between."""
        if self._engine_failures >= _MAX_ENGINE_FAILURES:
            raise AgentError(f"the {self._role}'s engine broke {self._engine_failures} times in a row; see engine_broke in the log")

    def _begin_fetched(self) -> None:
        for job_id in self._in_stage("fetching"):
            held = self._held[job_id]
            try:
                # Each is asked for before any is judged, so that they are fetched together.
                fetched = [self._exchange.fetched(adapter.sha256) for adapter in adapters_of(held.job)]
                if all(fetched):
                    held.stage = "working"
                    self._worker.begin(held.job)
            except Exception as error:  # becomes the failure of this job
                self._fail(job_id, error, retryable=True)

    def _step_worker(self) -> Sequence[Outcome]:
        try:
            outcomes = self._worker.step()
        except EngineDiedError:
            raise  # the process ends
        except Exception as error:  # becomes the failure of every job at work
            self._engine_failures += 1
            log.error("engine_broke", error=error_type(error), reason=reason(error), in_a_row=self._engine_failures, exc_info=True)
            for job_id in self._in_stage("working"):
                self._fail(job_id, error, retryable=True)
            return ()
        if outcomes:
            self._engine_failures = 0
        return outcomes

    def _end(self, outcome: Outcome) -> None:
        held = self._held.get(outcome.job_id)
        if held is None:
            log.warning("outcome_of_unknown_job", job=outcome.job_id)
        elif isinstance(outcome, Failed):
            self._fail(outcome.job_id, outcome.error, retryable=outcome.retryable)
        elif isinstance(outcome.result, AdaptResult):
            held.stage, held.result = "delivering", outcome.result
        else:
            self._finish(outcome.job_id, outcome.result)

    def _finish_delivered(self) -> None:
        for job_id in self._in_stage("delivering"):
            result = self._held[job_id].result
            assert result is not None
            try:
                if self._exchange.delivered(result.adapter.sha256):
                    self._finish(job_id, result)
            except OSError as error:  # TransferError, StoreError
                self._fail(job_id, error, retryable=True)

    def _finish(self, job_id: str, result: JobResult) -> None:
        held = self._held[job_id]
        seconds = time.monotonic() - held.started_monotonic
        answer = JobDone(job_id=job_id, attempt=held.attempt, result=result, started_at=held.started_at, duration_seconds=seconds)
        self._answers.append(answer)
        self._forget(job_id)
        log.info("job_finished", **job_fields(job_id, held.attempt), seconds=round(seconds, 3))

    def _fail(self, job_id: str, error: Exception, *, retryable: bool) -> None:
        held = self._held[job_id]
        self._worker.cancel(job_id)
        kind, text = error_type(error), reason(error)
        self._answers.append(JobFailed(job_id=job_id, attempt=held.attempt, error_type=kind, reason=text, retryable=retryable))
        self._forget(job_id)
        log.warning("job_failed", **job_fields(job_id, held.attempt), error=kind, reason=text, retryable=retryable)

    def _forget(self, job_id: str) -> None:
        """Let go of a job, and of inner-loop adapters that only it needed here. Policies stay, the latest: the next job needs them too."""
        held = self._held.pop(job_id)
        adapter = None
        if isinstance(held.job, EvaluateJob):
            adapter = held.job.adapter
        elif isinstance(held.job, AdaptJob) and held.job.purpose == "inner" and held.result is not None:
            adapter = held.result.adapter
        in_use = {used.sha256 for other in self._held.values() for used in adapters_of(other.job)}
        if adapter is not None and adapter.sha256 not in in_use:
            self._discard(adapter.sha256)
        for policy_adapter in () if isinstance(held.job, CreditJob) else held.job.policy.chain:
            self._kept.pop(policy_adapter.sha256, None)
            self._kept[policy_adapter.sha256] = None
        for sha256 in [sha256 for sha256 in self._kept if sha256 not in in_use][: max(0, len(self._kept) - _MAX_KEPT_ADAPTERS)]:
            self._discard(sha256)

    def _discard(self, sha256: str) -> None:
        self._kept.pop(sha256, None)
        self._exchange.discard(sha256)

    def _in_stage(self, stage: str) -> list[str]:
        return [job_id for job_id, held in self._held.items() if held.stage == stage]
