"""Continual self-edits in figures: the matrix of each policy, what is known of passages seen and to come, how much is forgotten.

A column is a place in the sequences, not a passage: each sequence has its own. Means and standard errors are over sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from seal_runtime.algorithms.continual import Cells, ContinualFigures, Spread, continual_figures
from seal_runtime.config.topology import Topology
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX
from seal_runtime.report.gather import Gathered, StudyRecord
from seal_runtime.report.model import ContinualSummary, Matrix, MatrixRow, TableRow
from seal_runtime.tasks.base import Instance
from seal_runtime.tasks.sequences import continual_sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSequences:
    """One continual study as it was planned: which contexts follow one another."""

    study: str
    policy_version: int
    sequences: tuple[tuple[Instance, ...], ...]


def planned_sequences(topology: Topology, heldout: Sequence[Instance]) -> tuple[PlannedSequences, ...]:
    """Return the continual studies of a run; `heldout` are all instances of its held-out split, in the task's order."""
    sequences = tuple(continual_sequences(topology, heldout))
    return tuple(
        PlannedSequences(study=f"{CONTINUAL_PREFIX}{version}", policy_version=version, sequences=sequences)
        for version in (dict.fromkeys((0, topology.run.rounds)) if sequences else ())
    )


def sequence_cells(record: StudyRecord, planned: PlannedSequences) -> list[Cells]:
    """Return the matrix of each sequence, scores in [0, 1]."""
    return [
        [[_score(record, instance, row) for instance in sequence] for row in range(len(sequence) + 1)] for sequence in planned.sequences
    ]


def continual_summaries(gathered: Gathered, studies: Sequence[PlannedSequences]) -> tuple[ContinualSummary, ...]:
    """Return the figures of each policy that was measured."""
    return tuple(
        ContinualSummary(
            study=study.study,
            policy_version=study.policy_version,
            label="untrained policy" if study.policy_version == 0 else f"after round {study.policy_version}",
            num_unparsed=sum(edit.unparsed for edit in gathered.study(study.study).edits.values()),
            figures=continual_figures(sequence_cells(gathered.study(study.study), study)),
        )
        for study in studies
        if study.study in gathered.studies
    )


def continual_rows(summaries: Sequence[ContinualSummary]) -> tuple[TableRow, ...]:
    """Return the lines of the final table: all passages of the sequences before the first edit and after the last."""
    return tuple(
        _table_row(summary, when, summary.figures.overall[row])
        for summary in summaries
        for when, row in (("before", 0), (f"after {summary.figures.length} edits", summary.figures.length))
    )


def continual_matrices(summaries: Sequence[ContinualSummary]) -> tuple[Matrix, ...]:
    """Return each policy's matrix with the means over seen and unseen passages, and what to say of it."""
    return tuple(_matrix(summary) for summary in summaries)


def continual_notes(summary: ContinualSummary) -> tuple[str, ...]:
    """Say in words what a matrix shows."""
    figures = summary.figures
    last, mean_of = figures.length, "mean over "
    notes = [f"{figures.num_sequences} sequences of {last} passages, {mean_of}sequences with its standard error."]
    if figures.forgetting.mean is not None:
        notes.append(
            f"Forgetting, from right after a passage's own edit to the end: {percent(figures.forgetting)} points "
            f"over the first {last - 1} passages."
        )
    notes.append(f"All passages: {percent(figures.overall[0])} % before, {percent(figures.overall[last])} % after {last} edits.")
    if summary.num_unparsed:
        notes.append(f"{summary.num_unparsed} edits could not be parsed and changed nothing.")
    if figures.num_missing:
        notes.append(f"{figures.num_missing} of {figures.num_sequences * last * (last + 1)} cells were not measured and are in no mean.")
    return tuple(notes)


def percent(spread: Spread) -> str:
    """Return `57.6 ± 2.6`, or a dash."""
    if spread.mean is None:
        return "—"
    return f"{100 * spread.mean:.1f}" if spread.stderr is None else f"{100 * spread.mean:.1f} ± {100 * spread.stderr:.1f}"


def _matrix(summary: ContinualSummary) -> Matrix:
    figures = summary.figures
    rows = tuple(_matrix_row(figures, row) for row in range(figures.length + 1))
    return Matrix(
        title=f"Passage after passage, {summary.label}",
        corner="after",
        columns=(*(f"passage {column + 1}" for column in range(figures.length)), "seen", "to come"),
        rows=rows,
        notes=continual_notes(summary),
    )


def _matrix_row(figures: ContinualFigures, row: int) -> MatrixRow:
    spreads = (*figures.cells[row], figures.seen[row], figures.unseen[row])
    return MatrixRow(
        label="no edit" if row == 0 else f"edit {row}",
        cells=tuple(None if spread.mean is None else 100 * spread.mean for spread in spreads),
        stderrs=tuple(None if spread.stderr is None else 100 * spread.stderr for spread in spreads),
        marked=row - 1 if row else None,
    )


def _table_row(summary: ContinualSummary, when: str, spread: Spread) -> TableRow:
    figures = summary.figures
    missing = f"; {figures.num_missing} cells not measured" if figures.num_missing else ""
    return TableRow(
        key=f"{summary.study}/{'before' if when == 'before' else 'after'}",
        label=f"continual, {summary.label}, {when}",
        group="continual",
        policy_version=summary.policy_version,
        mean_percent=None if spread.mean is None else 100 * spread.mean,
        stderr_percent=None if spread.stderr is None else 100 * spread.stderr,
        num_contexts=spread.num,
        num_edits=0 if when == "before" else figures.num_sequences * figures.length,
        num_unparsed=summary.num_unparsed,
        num_invalid=0,
        num_missing=figures.num_missing,
        note=f"n counts sequences{missing}",
    )


def _score(record: StudyRecord, instance: Instance, row: int) -> float | None:
    edit = record.edits.get((instance.instance_id, 0))
    return None if edit is None else edit.scores.get(row)
