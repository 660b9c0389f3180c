"""Every cell of the continual matrices as rows."""

from collections.abc import Sequence

from seal_runtime.report.continual import PlannedSequences, sequence_cells
from seal_runtime.report.gather import Gathered
from seal_runtime.run.rows import ContinualRow


def continual_cells(gathered: Gathered, planned: Sequence[PlannedSequences]) -> list[ContinualRow]:
    """Return the cells of the studies that have begun, also those that are not measured."""
    return [
        ContinualRow(
            study=study.study,
            policy_version=study.policy_version,
            sequence=number,
            num_edits=row,
            passage=column + 1,
            context_id=study.sequences[number][column].instance_id,
            score=score,
        )
        for study in planned
        if study.study in gathered.studies
        for number, cells in enumerate(sequence_cells(gathered.study(study.study), study))
        for row, scores in enumerate(cells)
        for column, score in enumerate(scores)
    ]
