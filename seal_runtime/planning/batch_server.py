"""An engine in virtual time: it steps all jobs at work together, and a free slot takes the waiting job with the most work.

Jobs at work share one policy version; those of another wait until these are done, the oldest version first, as the engines do it. Between
two changes of what is at work every step takes the same time, so that no single step is simulated.
"""

import heapq
from dataclasses import dataclass

from seal_runtime.planning.step_cost import StepCost

_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineJob:
    """So many steps with so many rows each. `lead_seconds` it has the whole engine to itself first (prompts are read, adapters loaded)."""

    job_id: str
    num_steps: int
    units: float
    lead_seconds: float
    version: int

    @property
    def work(self) -> float:
        """Return rows times steps."""
        return self.num_steps * self.units

    def alone_seconds(self, cost: StepCost) -> float:
        """Return the time with an engine to itself."""
        return self.lead_seconds + self.num_steps * cost.seconds(self.units, 1)


class BatchServer:
    """Serves jobs with `num_slots` at once. Times passed in must not go back."""

    def __init__(self, cost: StepCost, num_slots: int) -> None:
        self.busy_seconds = 0.0
        self.job_seconds = 0.0
        self._cost = cost
        self._num_slots = num_slots
        self._waiting: dict[str, EngineJob] = {}
        self._active: dict[str, EngineJob] = {}
        self._ends: list[tuple[float, str]] = []
        self._units = 0.0
        self._steps = 0.0
        self._lead = 0.0
        self._at = 0.0

    @property
    def num_held(self) -> int:
        """Return how many jobs wait or are at work."""
        return len(self._waiting) + len(self._active)

    def submit(self, job: EngineJob, now: float) -> None:
        """Take a job. `advance` must have been called up to now."""
        self._at = max(self._at, now)
        self._waiting[job.job_id] = job
        self._admit()

    def cancel(self, job_id: str) -> None:
        """Forget a job; unknown ones are ignored."""
        self._waiting.pop(job_id, None)
        job = self._active.pop(job_id, None)
        if job is not None:
            self._units -= job.units
            self._ends = [end for end in self._ends if end[1] != job_id]
            heapq.heapify(self._ends)
            self._admit()

    def next_end(self) -> float | None:
        """Return when the next job will be done if none comes, None when nothing is at work."""
        if not self._ends:
            return None
        return self._at + self._lead + max(0.0, self._ends[0][0] - self._steps) * self._step_seconds()

    def advance(self, now: float) -> list[str]:
        """Work until `now`; return the jobs that are done by then, in the order of their ends."""
        done: list[str] = []
        while (end := self.next_end()) is not None and end <= now + _EPSILON:
            self._pass(end - self._at)
            self._steps, job_id = max(self._steps, self._ends[0][0]), self._ends[0][1]
            heapq.heappop(self._ends)
            self._units -= self._active.pop(job_id).units
            done.append(job_id)
            self._admit()
        if now > self._at:
            self._pass(now - self._at)
        return done

    def _pass(self, seconds: float) -> None:
        if self._active:
            self.busy_seconds += seconds
            self.job_seconds += seconds * len(self._active)
            lead = min(self._lead, seconds)
            self._lead -= lead
            self._steps += (seconds - lead) / self._step_seconds()
        self._at += seconds

    def _step_seconds(self) -> float:
        return self._cost.seconds(self._units, len(self._active))

    def _admit(self) -> None:
        if not self._waiting or len(self._active) >= self._num_slots:
            return
        oldest = min(job.version for job in self._waiting.values())
        version = next(iter(self._active.values())).version if self._active else oldest
        if version != oldest:
            return
        ready = sorted((job for job in self._waiting.values() if job.version == version), key=lambda job: (-job.work, job.job_id))
        for job in ready[: self._num_slots - len(self._active)]:
            del self._waiting[job.job_id]
            self._active[job.job_id] = job
            self._units += job.units
            self._lead += job.lead_seconds
            heapq.heappush(self._ends, (self._steps + job.num_steps, job.job_id))
