"""The critic: turns the rewards of a round into credit and the next policy update. No engine, no torch."""

from collections.abc import Sequence

from agents.worker import Finished, Outcome
from protocol.jobs import CreditJob, Job
from seal_runtime.algorithms.base import OuterLoop


class Critic:
    """Asks the algorithm; the answer is there at the next step."""

    capacity = 1

    def __init__(self, *, algorithm: OuterLoop) -> None:
        self._algorithm = algorithm
        self._outcomes: list[Outcome] = []

    @property
    def must_step(self) -> bool:
        """Say whether a verdict waits to be fetched."""
        return bool(self._outcomes)

    def begin(self, job: Job) -> None:
        """Compute the credit; this takes milliseconds."""
        assert isinstance(job, CreditJob), job
        self._outcomes.append(Finished(job_id=job.job_id, result=self._algorithm.credit(job)))

    def step(self) -> Sequence[Outcome]:
        """Return the verdicts."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def cancel(self, job_id: str) -> None:
        """Forget a verdict."""
        self._outcomes = [outcome for outcome in self._outcomes if outcome.job_id != job_id]

    def close(self) -> None:
        """Forget everything."""
        self._outcomes.clear()
