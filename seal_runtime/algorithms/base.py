"""The seam of the outer loop: rewards in, credit and at most one policy update out. Pure Python, no torch.

Invariant: credit is a function of the job alone (groups, round, seed) and of the algorithm's configuration, so that any critic,
asked any number of times, gives the same update. How a loss is computed from the update's weights is the trainer's business.
"""

from collections.abc import Sequence
from typing import Protocol

from protocol.jobs import CreditJob, CreditResult, ScoredEdit
from seal_runtime.algorithms.statistics import mean


class OuterLoop(Protocol):
    """Turns the rewards of a round into credit and the next policy."""

    def credit(self, job: CreditJob) -> CreditResult:
        """Return the credit of every measured edit and the update; `update` is None when nothing is worth learning."""
        ...


def measured(edits: Sequence[ScoredEdit]) -> list[tuple[ScoredEdit, float]]:
    """Return the edits that have a reward with its mean over replicates, by edit index. Unmeasured edits are no data at all."""
    return [(edit, mean(edit.rewards)) for edit in sorted(edits, key=lambda edit: edit.edit_index) if edit.rewards]
