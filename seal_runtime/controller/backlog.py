"""Back-pressure: what waits between two roles is bounded, by holding back the role that makes it.

Proposers write no further self-edits while many wait for a trainer, trainers train no further adapters while many wait for an evaluator.
Nothing holds evaluators, critics and policy updates back, so that every bound is left again in the end. Jobs that agents hold do not count:
their number is bounded by the agents' capacities.
"""

from collections import Counter
from typing import Literal

from protocol.jobs import AdaptJob, EvaluateJob, ProposeJob
from seal_runtime.config.topology import LimitsConfig
from seal_runtime.controller.work import Work

Kind = Literal["edit", "adapter"]


class Backlog:
    """Counts the waiting jobs that a role before has caused."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._bounds: dict[Kind, int] = {"edit": limits.max_waiting_edits, "adapter": limits.max_waiting_adapters}
        self._waiting: Counter[Kind] = Counter()

    def num_waiting(self, kind: Kind) -> int:
        """Return how many self-edits wait for a trainer (or, training nothing, for an evaluator), or adapters for an evaluator."""
        return self._waiting[kind]

    def waits(self, work: Work) -> None:
        """Note that a job waits for an agent from now on."""
        kind = _kind(work)
        if kind is not None:
            self._waiting[kind] += 1

    def taken(self, work: Work) -> None:
        """Note that a job waits no longer: an agent has it, or it was given up."""
        kind = _kind(work)
        if kind is not None:
            self._waiting[kind] -= 1

    def holds_back(self, work: Work) -> bool:
        """Say whether a job must not be given out now, since what it makes would only wait."""
        kind = _made_by(work)
        return kind is not None and self._waiting[kind] >= self._bounds[kind]


def _kind(work: Work) -> Kind | None:
    """Return what a job keeps from being forgotten while it waits."""
    if isinstance(work.job, EvaluateJob) and work.job.adapter is not None:
        return None if work.shares_adapter else "adapter"
    return "edit" if work.is_of_proposal else None


def _made_by(work: Work) -> Kind | None:
    """Return what a job makes that others must take up."""
    if isinstance(work.job, ProposeJob):
        return "edit"
    return "adapter" if isinstance(work.job, AdaptJob) and not work.is_critical else None
