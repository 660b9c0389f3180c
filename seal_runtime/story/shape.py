"""Which jobs a self-edit passes through: its own, or those that it shares with other edits of its study."""

from dataclasses import dataclass

from seal_runtime.config.topology import Topology
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX, CPT_PREFIX
from seal_runtime.story.find import EditId


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The jobs of an edit by replicate. In a continual study the replicates are rows: its context after so many merged edits."""

    propose: str
    proposed_again: tuple[str, ...]
    adapts: tuple[str, ...]
    evaluates: tuple[str, ...]
    of_round: tuple[str, ...]
    is_joint: bool
    has_rows: bool

    @property
    def num_replicates(self) -> int:
        """Return how many replicates, or rows, there are."""
        return len(self.evaluates)

    @property
    def max_resamples(self) -> int:
        """Return how often the edit may be drawn again."""
        return len(self.proposed_again)

    @property
    def job_ids(self) -> list[str]:
        """Return all jobs in order; the proposals come first."""
        own = [job_id for pair in zip(self.adapts, self.evaluates, strict=True) for job_id in pair]
        return [self.propose, *self.proposed_again, *own, *self.of_round]


def shape_of(edit: EditId, round_number: int | None, topology: Topology) -> Shape:
    """Return the jobs of an edit."""
    study, evaluation = edit.study, topology.evaluation
    is_joint = study.startswith(CPT_PREFIX) and study != f"{CPT_PREFIX}no-update"
    has_rows = study.startswith(CONTINUAL_PREFIX)
    number = 1
    if round_number is not None:
        number = topology.algorithm.replicates
    elif is_joint:
        number = evaluation.cpt.replicates
    elif has_rows:
        number = evaluation.continual.sequence_length + 1
    resamples = topology.proposer.max_resamples
    trained = study if is_joint else str(edit)
    examined = f"{study}/{edit.context_id}/e0" if is_joint else str(edit)
    return Shape(
        propose=f"{study}/{edit.context_id}/propose",
        proposed_again=() if is_joint or has_rows else tuple(f"{edit}/s{index}/propose" for index in range(1, resamples + 1)),
        adapts=tuple(f"{trained}/r{index}/adapt" for index in range(number)),
        evaluates=tuple(f"{examined}/r{index}/evaluate" for index in range(number)),
        of_round=(f"{study}/credit", f"{study}/policy") if round_number is not None else (),
        is_joint=is_joint,
        has_rows=has_rows,
    )
