"""The final table and what may be concluded from it: means over contexts, standard errors, the paired gain, the steps' share.

Every mean is taken context by context first (edits of one passage are no independent sample), then over contexts. Edits that could
not be parsed count as 0; edits that could not be measured count as nothing and are named in the note.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seal_runtime.algorithms.statistics import mean, paired_t_test, standard_error
from seal_runtime.config.topology import Topology
from seal_runtime.report.gather import Gathered, StudyRecord
from seal_runtime.report.model import PairedGain, RowGroup, TableRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the run set out to measure: sizes of the splits after the topology's limits, and what the task offers.

    `retention_questions` is 0 and `has_scripted` False for a task without them.
    """

    rounds: int
    max_policy_lag: int
    every_rounds: int
    reward_contexts: int
    reward_edits: int
    heldout_contexts: int
    heldout_edits: int
    baselines: bool
    has_scripted: bool
    retention_questions: int

    @property
    def heldout_versions(self) -> tuple[int, ...]:
        """Return the policy versions that are measured on held-out contexts: 0, every `every_rounds`, and the last."""
        return tuple(v for v in range(self.rounds + 1) if v % self.every_rounds == 0 or v == self.rounds)


def scope_of(topology: Topology, *, num_reward: int, num_heldout: int, has_scripted: bool, retention_questions: int) -> Scope:
    """Combine the topology with the sizes of the task's splits."""
    evaluation, algorithm = topology.evaluation, topology.algorithm
    return Scope(
        rounds=topology.run.rounds,
        max_policy_lag=algorithm.max_policy_lag,
        every_rounds=evaluation.every_rounds,
        reward_contexts=min(algorithm.contexts_per_round, num_reward),
        reward_edits=algorithm.edits_per_context,
        heldout_contexts=min(evaluation.num_contexts, num_heldout),
        heldout_edits=evaluation.edits_per_context,
        baselines=evaluation.baselines,
        has_scripted=has_scripted,
        retention_questions=retention_questions if evaluation.retention else 0,
    )


def table_rows(gathered: Gathered, scope: Scope) -> tuple[TableRow, ...]:
    """Return the rows of the run in the table's order; what the topology turned off has no row."""
    rows: list[TableRow] = []
    if scope.heldout_contexts and scope.baselines:
        rows += [
            _row(gathered, scope, "no-update", "no update", "baseline"),
            _row(gathered, scope, "passage-only", "passage only", "baseline"),
            _row(gathered, scope, "passage-only-equal-steps", "passage only, as many steps as edits", "baseline"),
        ]
    if scope.heldout_contexts:
        rows += [_row(gathered, scope, f"heldout-v{v}", own_edits_label(v), "own") for v in scope.heldout_versions]
        if scope.baselines and scope.has_scripted:
            rows.append(_row(gathered, scope, "scripted", "scripted edits (ceiling)", "ceiling"))
    if scope.retention_questions:
        rows += [_retention_row(gathered, scope, version) for version in dict.fromkeys((0, scope.rounds))]
    return tuple(rows)


def control_rows(gathered: Gathered, scope: Scope, name: str) -> tuple[TableRow, ...]:
    """Return the first and the last held-out row of a control run, labelled as such; `name` says how it selects edits."""
    if not scope.heldout_contexts:
        return ()
    versions = dict.fromkeys((0, scope.rounds))
    return tuple(
        _row(gathered, scope, f"heldout-v{v}", f"control ({name}), {'untrained' if v == 0 else f'after round {v}'}", "control")
        for v in versions
    )


def own_edits_label(version: int) -> str:
    """Return the label of a held-out row."""
    return "own edits, untrained policy" if version == 0 else f"own edits, after round {version}"


def paired_gain(gathered: Gathered, scope: Scope) -> PairedGain | None:
    """Compare the last measured policy with version 0 on the same held-out contexts; None when nothing can be compared."""
    measured = [v for v in scope.heldout_versions if gathered.study(f"heldout-v{v}").scores_by_context()]
    if len(measured) < 2 or measured[0] != 0:
        return None
    last = measured[-1]
    before = context_means(gathered.study("heldout-v0"))
    after = context_means(gathered.study(f"heldout-v{last}"))
    shared = [context_id for context_id in before if context_id in after]
    if not shared:
        return None
    early, late = [100 * before[c] for c in shared], [100 * after[c] for c in shared]
    test = paired_t_test(early, late) if len(shared) >= 2 else None
    return PairedGain(
        first_version=0,
        last_version=last,
        gain_percent=mean(late) - mean(early),
        stderr_percent=test.standard_error if test else None,
        t_statistic=test.t if test and math.isfinite(test.t) else None,
        p_value=test.p_value if test else None,
        num_contexts=len(shared),
    )


def steps_share(rows: Sequence[TableRow]) -> float | None:
    """Return (equal-step passage-only - passage-only) / (last own edits - passage-only); None without the rows or without a gain.

    0 means that optimizer steps alone explain nothing of the gain, 1 that they explain all of it.
    """
    by_key: Mapping[str, TableRow] = {row.key: row for row in rows if row.group != "control"}
    own = [row for row in rows if row.group == "own" and row.mean_percent is not None]
    passage, equal = by_key.get("passage-only"), by_key.get("passage-only-equal-steps")
    if passage is None or equal is None or not own:
        return None
    last = own[-1].mean_percent
    if passage.mean_percent is None or equal.mean_percent is None or last is None or last <= passage.mean_percent:
        return None
    return (equal.mean_percent - passage.mean_percent) / (last - passage.mean_percent)


def context_means(study: StudyRecord) -> dict[str, float]:
    """Return each measured context's mean score in [0, 1]."""
    return {context_id: mean(scores) for context_id, scores in study.scores_by_context().items()}


def count_missing(study: StudyRecord, num_contexts: int, num_edits: int) -> tuple[int, int]:
    """Return how many of `num_contexts * num_edits` edits are invalid and how many are not measured yet."""
    invalid = study.count("invalid") + num_edits * len(study.lost_contexts)
    done = study.count("scored") + study.count("unparsed") + invalid
    return invalid, max(0, num_contexts * num_edits - done)


def _row(gathered: Gathered, scope: Scope, study_name: str, label: str, group: RowGroup) -> TableRow:
    study = gathered.study(study_name)
    invalid, missing = count_missing(study, scope.heldout_contexts, scope.heldout_edits if group in ("own", "control") else 1)
    return _table_row(
        key=f"control:{study_name}" if group == "control" else study_name,
        label=label,
        group=group,
        version=_version(study_name, study),
        unit_scores=list(context_means(study).values()),
        counts=(0 if group == "baseline" else study.count("scored") + study.count("unparsed"), study.count("unparsed"), invalid, missing),
    )


def _retention_row(gathered: Gathered, scope: Scope, version: int) -> TableRow:
    """Return a row over questions: the chunks in which they are asked are no contexts."""
    study = gathered.study(f"retention-v{version}")
    scores = [answer.score for edit in study.edits.values() for answer in edit.answers]
    when = "before" if version == 0 else f"after round {version}"
    missing = max(0, scope.retention_questions - len(scores))
    return _table_row(
        key=f"retention-v{version}",
        label=f"known facts kept, {when}",
        group="retention",
        version=version,
        unit_scores=scores,
        counts=(0, 0, study.count("invalid"), 0 if study.count("invalid") else missing),
    )


def _table_row(
    *, key: str, label: str, group: RowGroup, version: int, unit_scores: Sequence[float], counts: tuple[int, int, int, int]
) -> TableRow:
    """Build a row from the scores in [0, 1] of its units and (measured, unparsed, invalid, missing) edits."""
    edits, unparsed, invalid, missing = counts
    error = standard_error(unit_scores)
    return TableRow(
        key=key,
        label=label,
        group=group,
        policy_version=version,
        mean_percent=100 * mean(unit_scores) if unit_scores else None,
        stderr_percent=None if error is None else 100 * error,
        num_contexts=len(unit_scores),
        num_edits=edits,
        num_unparsed=unparsed,
        num_invalid=invalid,
        num_missing=missing,
        note=_note(len(unit_scores), group, unparsed=unparsed, invalid=invalid, missing=missing),
    )


def _note(num_units: int, group: RowGroup, *, unparsed: int, invalid: int, missing: int) -> str:
    if not num_units and not invalid:
        return "not measured"
    parts = ["n counts questions"] if group == "retention" else []
    if unparsed:
        parts.append(f"{unparsed} unparsed count as 0")
    if invalid:
        parts.append(f"{invalid} set aside, not in the mean")
    if missing:
        parts.append(f"{missing} not measured")
    return "; ".join(parts)


def _version(study_name: str, study: StudyRecord) -> int:
    _, separator, digits = study_name.rpartition("-v")
    return int(digits) if separator and digits.isdigit() else study.policy_version
