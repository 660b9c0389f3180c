"""The evaluator: asks the adapted model the questions, without the passage, and grades its answers. Rewards come from here.

Invariant: grades are given only with a receipt for the asked adapter; otherwise the job fails, which is never a reward.
"""

from collections.abc import Sequence

from agents.grading import GradingPool
from agents.policies import PolicyResolver
from agents.receipts import BaselineCache, make_receipt
from agents.worker import Failed, Finished, Outcome
from protocol.errors import SealError
from protocol.jobs import EvaluateJob, EvaluateResult, Job, Receipt
from seal_runtime.engines.base import AnswerOutput, AnswerRequest, GenerationEngine, RequestFailed, SampleOutput
from seal_runtime.errors import GradeError, ReceiptError
from seal_runtime.store.adapters import AdapterStore

_PATIENCE_SECONDS = 0.005
"""Wait for graders on this host, which are done at once, rather than report their grades after the engine's next step."""


class Evaluator:
    """Turns evaluate jobs into answer requests, and answers into grades with a receipt."""

    def __init__(
        self, *, engine: GenerationEngine, policies: PolicyResolver, store: AdapterStore, graders: GradingPool, capacity: int
    ) -> None:
        self._engine = engine
        self._policies = policies
        self._store = store
        self._graders = graders
        self._capacity = capacity
        self._jobs: dict[str, EvaluateJob] = {}
        self._receipts: dict[str, Receipt] = {}
        self._baselines = BaselineCache()

    @property
    def capacity(self) -> int:
        """Return how many adapters may be at work at once."""
        return self._capacity

    @property
    def must_step(self) -> bool:
        """Say whether the engine has requests under way; grading alone needs no haste."""
        return self._engine.num_pending > 0

    def begin(self, job: Job) -> None:
        """Ask the engine, or nobody when the policy alone has answered these questions before. Raises StoreError."""
        assert isinstance(job, EvaluateJob), job
        prompts = tuple(question.prompt for question in job.questions)
        adapter = None if job.adapter is None else self._store.path(job.adapter.sha256)
        policy = self._policies.policy(job.policy)
        self._jobs[job.job_id] = job
        known = self._baselines.get(job)
        if known is None:
            request = AnswerRequest(
                request_id=job.job_id,
                policy=policy,
                adapter=adapter,
                prompts=prompts,
                max_new_tokens=job.max_new_tokens,
                stop=job.stop,
            )
            self._engine.submit(request)
        else:
            self._grade(job, known)

    def step(self) -> Sequence[Outcome]:
        """Advance the engine, hand fresh answers to the graders and return the jobs that are graded or have failed."""
        failed = [self._answered(output) for output in self._engine.step()] if self.must_step else []
        outcomes: list[Outcome] = [failure for failure in failed if failure is not None]
        for job_id, verdict in self._graders.collect(_PATIENCE_SECONDS if failed else 0.0):
            if isinstance(verdict, GradeError):
                outcomes.append(self._failed(job_id, verdict, retryable=True))
            else:
                result = EvaluateResult(answers=verdict.answers, score=verdict.score, receipt=self._receipts[job_id])
                self.cancel(job_id)
                outcomes.append(Finished(job_id=job_id, result=result))
        return outcomes

    def cancel(self, job_id: str) -> None:
        """Forget a job, wherever it is."""
        self._engine.cancel(job_id)
        self._graders.cancel(job_id)
        self._jobs.pop(job_id, None)
        self._receipts.pop(job_id, None)

    def close(self) -> None:
        """Close the engine and the graders."""
        self._graders.close()
        self._engine.close()

    def _answered(self, output: SampleOutput | AnswerOutput | RequestFailed) -> Failed | None:
        if isinstance(output, RequestFailed):
            return self._failed(output.request_id, output.error, retryable=output.retryable)
        assert isinstance(output, AnswerOutput), output
        try:
            self._grade(self._jobs[output.request_id], output)
        except ReceiptError as error:
            return self._failed(output.request_id, error, retryable=True)
        return None

    def _grade(self, job: EvaluateJob, output: AnswerOutput) -> None:
        self._receipts[job.job_id] = make_receipt(job, output)
        self._baselines.put(job, output)
        self._graders.submit(job, output.answers)

    def _failed(self, job_id: str, error: SealError, *, retryable: bool) -> Failed:
        self.cancel(job_id)
        return Failed(job_id=job_id, error=error, retryable=retryable)
