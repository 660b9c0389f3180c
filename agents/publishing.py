"""Trained adapters on their way into the store: hashed (and policies synced) on a thread, while the engine trains others.

Invariant: an adapter is moved under its hash when its outcome is handed out, never before, so that a cancelled job leaves nothing in the
store, where the same hash may be another job's.
"""

from functools import partial

from agents.worker import Failed, Finished, Outcome
from protocol.errors import SealError
from protocol.jobs import AdapterRef, AdaptJob, AdaptResult
from seal_runtime.engines.base import AdaptOutput
from seal_runtime.engines.side_thread import SideThread
from seal_runtime.errors import StoreError
from seal_runtime.store.adapters import AdapterStore


class Publisher:
    """Turns the outputs of the engine into outcomes."""

    def __init__(self, store: AdapterStore) -> None:
        self._store = store
        self._inspected: SideThread[AdapterRef] = SideThread("publisher")
        self._outputs: dict[str, tuple[AdaptJob, AdaptOutput]] = {}

    def submit(self, job: AdaptJob, output: AdaptOutput) -> None:
        """Take over a finished adapter."""
        self._outputs[job.job_id] = job, output
        self._inspected.submit(job.job_id, partial(self._store.inspect, output.output_dir, durable=_is_durable(job)))

    def outcomes(self) -> list[Outcome]:
        """Publish the adapters that are hashed, in their order, and return their outcomes; a store that refuses is a retryable failure."""
        return [self._outcome(job_id, found) for job_id, found in self._inspected.ended()]

    def cancel(self, job_id: str) -> None:
        """Forget an adapter; nobody reads its files after this returns. Unknown ids are ignored."""
        self._inspected.drop(job_id)
        self._outputs.pop(job_id, None)

    def close(self) -> None:
        """Forget all adapters and end the thread. Idempotent."""
        self._inspected.close()
        self._outputs.clear()

    def _outcome(self, job_id: str, found: AdapterRef | SealError) -> Outcome:
        job, output = self._outputs.pop(job_id)
        if isinstance(found, SealError):
            return Failed(job_id=job_id, error=found, retryable=True)
        try:
            adapter = self._store.adopt(output.output_dir, found, durable=_is_durable(job))
        except StoreError as error:
            return Failed(job_id=job_id, error=error, retryable=True)
        result = AdaptResult(
            adapter=adapter,
            num_steps=output.num_steps,
            num_tokens=output.num_tokens,
            num_truncated=output.num_truncated,
            first_loss=output.first_loss,
            final_loss=output.final_loss,
        )
        return Finished(job_id=job_id, result=result)


def _is_durable(job: AdaptJob) -> bool:
    """A version of the policy outlives the run's next crash; an inner loop's adapter is trained again."""
    return job.purpose == "policy"
