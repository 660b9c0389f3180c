"""What a role is to the rest of an agent: jobs go in, outcomes come out, step by step, on one thread.

Invariant: when `begin` is called every adapter that the job names lies complete in the agent's store. Workers know nothing
of sockets, leases, attempts or other hosts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.errors import SealError
from protocol.jobs import Job, JobResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A job that ended with its result."""

    job_id: str
    result: JobResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A job that ended without result. `retryable` as in `protocol.messages.JobFailed`."""

    job_id: str
    error: SealError
    retryable: bool


Outcome = Finished | Failed


class Worker(Protocol):
    """Does the jobs of one role."""

    @property
    def capacity(self) -> int:
        """Return how many unanswered jobs the controller may give this agent."""
        ...

    @property
    def must_step(self) -> bool:
        """Say whether `step` has work to do right now; otherwise the agent may sleep for a moment on its socket."""
        ...

    def begin(self, job: Job) -> None:
        """Take up a job. An exception means that this job failed, and touches no other."""
        ...

    def step(self) -> Sequence[Outcome]:
        """Do a bounded amount of work and return what ended. An exception means that the engine broke under all jobs at work."""
        ...

    def cancel(self, job_id: str) -> None:
        """Drop a job; unknown ones are ignored."""
        ...

    def close(self) -> None:
        """Give up all jobs and release everything. Idempotent."""
        ...
