"""The trainer: fine-tunes one fresh adapter for each self-edit (the inner loop) and for each policy update (the outer loop).

A job goes from the engine, which gives its adapter back as files, to the publisher, which makes its outcome of them.
"""

import shutil
from collections.abc import Sequence

from agents.policies import PolicyResolver
from agents.publishing import Publisher
from agents.worker import Failed, Outcome
from protocol.jobs import AdaptJob, Job
from seal_runtime.engines.base import AdaptEngine, AdaptRequest, RequestFailed
from seal_runtime.store.adapters import AdapterStore

_JOBS_PER_SLOT = 2
"""Jobs leased for each slot of the engine, so that a freed slot is filled without asking the controller first."""


class Trainer:
    """Turns adapt jobs into training requests and published adapters."""

    def __init__(self, *, engine: AdaptEngine, policies: PolicyResolver, store: AdapterStore) -> None:
        self._engine = engine
        self._policies = policies
        self._store = store
        self._publisher = Publisher(store)
        self._requests: dict[str, tuple[AdaptJob, AdaptRequest]] = {}

    @property
    def capacity(self) -> int:
        """Return how many jobs may be leased at once."""
        return _JOBS_PER_SLOT * self._engine.num_slots

    @property
    def must_step(self) -> bool:
        """Say whether the engine has adapters at work; publishing alone needs no haste."""
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
        """Advance all adapters in training, hand those that ended to the publisher and return the jobs that have an outcome."""
        failed: list[Outcome] = []
        for output in self._engine.step() if self.must_step else ():
            if isinstance(output, RequestFailed):
                failed.append(Failed(job_id=output.request_id, error=output.error, retryable=output.retryable))
            else:
                self._publisher.submit(self._requests[output.request_id][0], output)
        outcomes = [*failed, *self._publisher.outcomes()]
        for outcome in outcomes:
            self.cancel(outcome.job_id)  # a published adapter has moved away; this is for what a failure has left
        return outcomes

    def cancel(self, job_id: str) -> None:
        """Stop training an adapter and remove what it has written."""
        self._engine.cancel(job_id)
        self._publisher.cancel(job_id)
        entry = self._requests.pop(job_id, None)
        if entry is not None:
            shutil.rmtree(entry[1].output_dir, ignore_errors=True)

    def close(self) -> None:
        """Close the engine and leave no unfinished adapter behind."""
        for job_id in list(self._requests):
            self.cancel(job_id)
        self._publisher.close()
        self._engine.close()
