"""The proposer: writes self-edits by sampling from the policy."""

from collections.abc import Sequence

from agents.policies import PolicyResolver
from agents.worker import Failed, Finished, Outcome
from protocol.jobs import Job, ProposeJob, ProposeResult
from seal_runtime.engines.base import GenerationEngine, RequestFailed, SampleOutput, SampleRequest


class Proposer:
    """Turns propose jobs into sample requests and their outputs into results."""

    def __init__(self, *, engine: GenerationEngine, policies: PolicyResolver, capacity: int) -> None:
        self._engine = engine
        self._policies = policies
        self._capacity = capacity

    @property
    def capacity(self) -> int:
        """Return how many contexts may be at work at once."""
        return self._capacity

    @property
    def must_step(self) -> bool:
        """Say whether the engine has requests under way."""
        return self._engine.num_pending > 0

    def begin(self, job: Job) -> None:
        """Ask the engine for the context's edits. Raises StoreError when the policy is not at hand."""
        assert isinstance(job, ProposeJob), job
        policy = self._policies.policy(job.policy)
        request = SampleRequest(request_id=job.job_id, policy=policy, prompt=job.prompt, sampling=job.sampling, seeds=job.seeds)
        self._engine.submit(request)

    def step(self) -> Sequence[Outcome]:
        """Advance the engine and return the contexts that are complete."""
        return [_outcome(output) for output in self._engine.step()] if self.must_step else ()

    def cancel(self, job_id: str) -> None:
        """Drop a context."""
        self._engine.cancel(job_id)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


def _outcome(output: object) -> Outcome:
    if isinstance(output, RequestFailed):
        return Failed(job_id=output.request_id, error=output.error, retryable=output.retryable)
    assert isinstance(output, SampleOutput), output
    result = ProposeResult(edits=output.edits, prompt_tokens=output.prompt_tokens, prompt_truncated=output.prompt_truncated)
    return Finished(job_id=output.request_id, result=result)
