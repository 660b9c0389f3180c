"""Find the context whose self-edits changed most: between two rounds, or else between the base model's answers and the adapted ones.

Between rounds a context stands for itself by the mean reward of its edits, so that one lucky sample is no change; each side is shown
by the edit whose reward is nearest to that mean. Only measured edits count.
"""

from collections.abc import Mapping

from seal_runtime.algorithms.statistics import mean
from seal_runtime.report.gather import EditRecord, Gathered, StudyRecord
from seal_runtime.report.model import EditChange
from seal_runtime.report.rounds import edit_story, rounds_of, score_of
from seal_runtime.tasks.base import Instance

HELDOUT = "heldout-v"


def most_changed(gathered: Gathered, reward: Mapping[str, Instance], heldout: Mapping[str, Instance]) -> EditChange | None:
    """Return the largest change, None when nothing was measured twice or nothing changed.

    Ties go to the first context by id, and there to the earliest rounds.
    """
    return _between_rounds(gathered, reward) or _from_base(gathered, heldout)


def _between_rounds(gathered: Gathered, instances: Mapping[str, Instance]) -> EditChange | None:
    by_context: dict[str, dict[int, list[EditRecord]]] = {}
    for number, study in rounds_of(gathered):
        for context_id, edits in _shown_edits(study, instances).items():
            by_context.setdefault(context_id, {})[number] = edits
    # The largest difference between any two rounds of a context is that between its lowest and its highest.
    means = {context_id: {number: _mean_score(edits) for number, edits in rounds.items()} for context_id, rounds in by_context.items()}
    changed = max(sorted(means), key=lambda context_id: max(means[context_id].values()) - min(means[context_id].values()), default=None)
    if changed is None:
        return None
    scores, rounds = means[changed], by_context[changed]
    first, last = sorted((min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)))
    if scores[first] == scores[last]:
        return None
    instance = instances[changed]
    return EditChange(
        between="rounds",
        score_before=scores[first],
        score_after=scores[last],
        label_before=f"Round {first}",
        label_after=f"Round {last}",
        before=edit_story(f"round-{first}", first, _typical(rounds[first]), instance),
        after=edit_story(f"round-{last}", last, _typical(rounds[last]), instance),
    )


def _from_base(gathered: Gathered, instances: Mapping[str, Instance]) -> EditChange | None:
    """Compare each edit of the last measured policy with the answers that the base model gave without any edit."""
    versions = [int(name.removeprefix(HELDOUT)) for name in gathered.studies if name.removeprefix(HELDOUT).isdigit()]
    base = {edit.context_id: edit for edit in gathered.study("no-update").edits.values() if edit.scores and edit.context_id in instances}
    if not versions or not base:
        return None
    study_name = f"{HELDOUT}{max(versions)}"
    edits = [
        edit
        for edits in _shown_edits(gathered.study(study_name), instances).values()
        for edit in edits
        if edit.scores and edit.context_id in base
    ]
    changed = max(edits, key=lambda edit: abs(score_of(edit) - score_of(base[edit.context_id])), default=None)
    if changed is None or score_of(changed) == score_of(base[changed.context_id]):
        return None
    instance, untouched = instances[changed.context_id], base[changed.context_id]
    return EditChange(
        between="base",
        score_before=score_of(untouched),
        score_after=score_of(changed),
        label_before="Without an edit",
        label_after=f"After an edit of policy v{max(versions)}",
        before=edit_story("no-update", 0, untouched, instance),
        after=edit_story(study_name, 0, changed, instance),
    )


def _shown_edits(study: StudyRecord, instances: Mapping[str, Instance]) -> dict[str, list[EditRecord]]:
    """Return the measured edits of each known context, in the order of context ids and edit indices."""
    edits: dict[str, list[EditRecord]] = {}
    for (context_id, _), edit in sorted(study.edits.items()):
        if edit.score is not None and context_id in instances:
            edits.setdefault(context_id, []).append(edit)
    return edits


def _mean_score(edits: list[EditRecord]) -> float:
    return mean([score_of(edit) for edit in edits])


def _typical(edits: list[EditRecord]) -> EditRecord:
    """Return the edit nearest to the mean; of equals one that has answers to show, then the first."""
    centre = _mean_score(edits)
    return min(edits, key=lambda edit: (abs(score_of(edit) - centre), edit.state == "unparsed"))
