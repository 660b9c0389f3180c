"""Continued pretraining in the final table: one adapter learned the edits of all contexts; n counts the contexts examined with it."""

from seal_runtime.algorithms.statistics import mean, standard_error
from seal_runtime.config.topology import Topology
from seal_runtime.ledger.study_names import CPT_PREFIX
from seal_runtime.report.gather import Gathered
from seal_runtime.report.measures import context_means, own_edits_label
from seal_runtime.report.model import TableRow

_BASELINES = {"no-update": "no update", "passage-only": "passage only"}
_OTHERS = {"scripted": "scripted edits"}
"""No ceiling here: there may be fewer of them than of the policy's own."""


def joint_rows(gathered: Gathered, topology: Topology, num_available: int) -> tuple[TableRow, ...]:
    """Return the rows of continued pretraining in the table's order, those that have begun; none for a run without it."""
    config = topology.evaluation.cpt
    versions = {f"v{version}": own_edits_label(version) for version in dict.fromkeys((0, topology.run.rounds))}
    names = {**_BASELINES, **versions, **_OTHERS}
    return tuple(
        _row(gathered, name, label, min(config.num_contexts, num_available))
        for name, label in names.items()
        if config.num_contexts and f"{CPT_PREFIX}{name}" in gathered.studies
    )


def _row(gathered: Gathered, name: str, label: str, num_contexts: int) -> TableRow:
    study = gathered.study(f"{CPT_PREFIX}{name}")
    scores = list(context_means(study).values())
    error = standard_error(scores)
    written = [edit for edit in study.edits.values() if edit.text is not None]
    unparsed = sum(edit.unparsed for edit in written)
    lost = len(study.lost_contexts | {edit.context_id for edit in study.edits.values() if edit.invalid and not edit.scores})
    lost = num_contexts if study.lost_adapters and not scores else lost
    missing = max(0, num_contexts - len(scores) - lost)
    notes = [f"{unparsed} unparsed left out"] if unparsed else []
    notes += [f"{lost} contexts set aside, not in the mean"] if lost else []
    notes += [f"{len(study.lost_adapters)} adapters set aside"] if study.lost_adapters else []
    notes += [f"{missing} not measured"] if missing else []
    return TableRow(
        key=f"{CPT_PREFIX}{name}",
        label=f"CPT, {label}",
        group="cpt",
        policy_version=study.policy_version,
        mean_percent=100 * mean(scores) if scores else None,
        stderr_percent=None if error is None else 100 * error,
        num_contexts=len(scores),
        num_edits=len(written) - unparsed,
        num_unparsed=unparsed,
        num_invalid=lost,
        num_missing=missing,
        note="; ".join(notes),
    )
