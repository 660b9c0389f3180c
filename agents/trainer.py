"""The trainer: fine-tunes one fresh adapter for each self-edit (the inner loop) and for each policy update (the outer loop)."""

import shutil
from collections.abc import Sequence

from agents.policies import PolicyResolver
from agents.worker import Failed, Finished, Outcome
from protocol.jobs import AdaptJob, AdaptResult, Job
from seal_runtime.engines.base import AdaptEngine, AdaptOutput, AdaptRequest, RequestFailed
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import AdapterStore

_JOBS_PER_SLOT = 2
"""Jobs leased for each slot of the engine, so that a freed slot is filled without asking the controller first."""


class Trainer:
    """Turns adapt jobs into training requests and published adapters."""

    def __init__(self, *, engine: AdaptEngine, policies: PolicyResolver, store: AdapterStore) -> None:
        self._engine = engine
        self._policies = policies
        self._store = store
        self._requests: dict[str, tuple[AdaptJob, AdaptRequest]] = {}

    @property
    def capacity(self) -> int:
        """Return how many jobs may be leased at once."""
        return _JOBS_PER_SLOT * self._engine.num_slots

    @property
    def must_step(self) -> bool:
        """Say whether the engine has adapters in training."""
        return self._engine.num_pending > 0

    def begin(self, job: Job) -> None:
        """Queue an adapter for training. Raises StoreError when the policy is not at hand."""
        assert isinstance(job, AdaptJob), job
        request = AdaptRequest(
            request_id=job.job_id,
            policy=self._policies.policy(job.policy),
            sequences=job.sequences,
            lora=job.lora,
            optim=job.optim,
            seed=job.seed,
            output_dir=self._store.staging_dir(),
        )
        self._requests[job.job_id] = job, request
        self._engine.submit(request)

    def step(self) -> Sequence[Outcome]:
        """Advance all adapters in training and return those that ended, each published in the store."""
        return [self._outcome(output) for output in self._engine.step()] if self.must_step else ()

    def cancel(self, job_id: str) -> None:
        """Stop training an adapter and remove what it has written."""
        self._engine.cancel(job_id)
        entry = self._requests.pop(job_id, None)
        if entry is not None:
            shutil.rmtree(entry[1].output_dir, ignore_errors=True)

    def close(self) -> None:
        """Close the engine and leave no unfinished adapter behind."""
        for job_id in list(self._requests):
            self.cancel(job_id)
        self._engine.close()

    def _outcome(self, output: AdaptOutput | RequestFailed) -> Outcome:
        job, _ = self._requests[output.request_id]
        if isinstance(output, RequestFailed):
            self.cancel(job.job_id)
            return Failed(job_id=job.job_id, error=output.error, retryable=output.retryable)
        try:
            adapter = self._store.publish(output.output_dir, durable=job.purpose == "policy")
        except StoreError as error:
            self.cancel(job.job_id)
            return Failed(job_id=job.job_id, error=error, retryable=True)
        del self._requests[job.job_id]
        result = AdaptResult(
            adapter=adapter,
            num_steps=output.num_steps,
            num_tokens=output.num_tokens,
            num_truncated=output.num_truncated,
            first_loss=output.first_loss,
            final_loss=output.final_loss,
        )
        return Finished(job_id=job.job_id, result=result)
