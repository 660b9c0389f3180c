"""An agent's answer to a job as an event of the run; one that names an adapter which nobody can read is a failed attempt."""

from protocol.jobs import AdaptResult
from protocol.messages import JobDone, JobFailed
from seal_runtime.controller.events import JobFailedEvent, JobSucceeded
from seal_runtime.store.adapters import AdapterStore


def event_of(agent: str, message: JobDone | JobFailed, store: AdapterStore) -> JobSucceeded | JobFailedEvent:
    """Return what an answer means. `store` is the run's, in which the adapter of an AdaptResult must lie."""
    job_id, attempt = message.job_id, message.attempt
    if isinstance(message, JobFailed):
        return JobFailedEvent(
            agent=agent,
            job_id=job_id,
            attempt=attempt,
            error_type=message.error_type,
            reason=message.reason,
            retryable=message.retryable,
        )
    result = message.result
    if isinstance(result, AdaptResult) and not store.has(result.adapter.sha256):
        reason = f"the agent named adapter {result.adapter.sha256[:12]}, which is not in the run's store {store.root}"
        return JobFailedEvent(agent=agent, job_id=job_id, attempt=attempt, error_type="StoreError", reason=reason, retryable=True)
    return JobSucceeded(
        agent=agent,
        job_id=job_id,
        attempt=attempt,
        result=result,
        started_at=message.started_at,
        duration_seconds=message.duration_seconds,
    )
