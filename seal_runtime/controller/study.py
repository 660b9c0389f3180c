"""A study: a set of contexts that one policy version is measured on in one way. Fixed before the first job (`controller.plan`)."""

from dataclasses import dataclass
from typing import Literal

from seal_runtime.tasks.base import Instance

Purpose = Literal["reward", "continual", "heldout", "cpt", "baseline", "retention"]
EditSource = Literal["policy", "none", "empty", "scripted"]

# A sequence of merges is the longest path through a run: what it can do it does before the studies that fill any gap.
_PRIORITY: dict[Purpose, int] = {"reward": 0, "continual": 1, "heldout": 2, "cpt": 3, "baseline": 4, "retention": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One measurement of one policy version.

    `source` says where the edits come from (`none`: no adapter at all). `round` is the round whose credit needs this study, 0 for all
    others. `steps_of` names the study whose optimizer steps a control copies, "" otherwise. `edits_per_context` counts the scores of a
    context, `num_proposals` the self-edits that are written for it: they differ where one adapter learns all of them (`cpt`).
    `sequence_length` is 0 but in a continual study: there so many instances in a row make a sequence, and the replicates of an edit are
    the rows of its matrix.
    """

    name: str
    purpose: Purpose
    source: EditSource
    policy_version: int
    round: int
    instances: tuple[Instance, ...]
    edits_per_context: int
    replicates: int
    steps_of: str
    num_proposals: int
    sequence_length: int

    @property
    def num_items(self) -> int:
        """Return how many self-edits the study scores."""
        return len(self.instances) * self.edits_per_context

    @property
    def is_joint(self) -> bool:
        """Say whether one adapter learns the edits of all contexts."""
        return self.purpose == "cpt" and self.source != "none"

    @property
    def priority(self) -> tuple[int, int]:
        """Return the place among the studies, smaller first: the older policy version, and of one version what its round waits for.

        A round that runs ahead (`algorithm.max_policy_lag`) stands where it would stand if it had waited.
        """
        return (self.round - 1, 0) if self.round else (self.policy_version, _PRIORITY[self.purpose])

    def sequences(self) -> list[tuple[Instance, ...]]:
        """Return the sequences of a continual study."""
        size = self.sequence_length
        return [self.instances[start : start + size] for start in range(0, len(self.instances), size)]
