"""Put a self-edit's story together from the ledger, and from the task for its context. Works on runs of any age and in any state."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from protocol.errors import SealError
from protocol.jobs import AdaptJob, ProposeJob, ProposeResult
from seal_runtime.config.loading import load_resolved
from seal_runtime.config.topology import Topology
from seal_runtime.errors import EditParseError
from seal_runtime.ledger.proposals import proposed_edits
from seal_runtime.ledger.reader import LedgerReader
from seal_runtime.ledger.records import PolicyRow, ResultRow
from seal_runtime.ledger.study_names import CONTINUAL_PREFIX, CPT_PREFIX
from seal_runtime.store.run_directory import RunDirectory
from seal_runtime.story.attempts import attempts_of
from seal_runtime.story.credit import credit_of
from seal_runtime.story.examination import base_row, question_stories, replicate_of, score_of
from seal_runtime.story.find import EditId, find_edit
from seal_runtime.story.model import EditState, PolicyStory, Proposal, Replicate, SetAside, Story
from seal_runtime.story.shape import Shape, shape_of
from seal_runtime.tasks.base import SPLITS, Instance, Task
from seal_runtime.tasks.documents import document_sequences
from seal_runtime.tasks.registry import make_task

_KINDS = {
    "no-update": "no edit: the base model's own answers",
    "passage-only": "control: the passage alone",
    "passage-only-equal-steps": "control: the passage alone, as many steps",
    "cpt-no-update": "no edit: the base model's own answers",
    "cpt-passage-only": "control: continued pretraining on the passages alone",
    "cpt-scripted": "continued pretraining on edits that somebody else wrote",
    "scripted": "ceiling: an edit written with knowledge of the facts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the task says of a context; `note` says why it says nothing."""

    task: Task | None
    instance: Instance | None
    note: str


def tell_story(run: RunDirectory, text: str) -> Story:
    """Return the story of the edit that `text` names. Raises ConfigError when it names none or several, LedgerError, ConfigError."""
    with LedgerReader(run.ledger) as reader:
        edit = find_edit(reader, text)
        topology = load_resolved(run.topology)
        return story_of(reader, edit, topology, _look_up(topology, edit.context_id))


def story_of(reader: LedgerReader, edit: EditId, topology: Topology, known: _Known) -> Story:
    """Return the story of one edit."""
    round_number = _round(edit.study)
    shape = shape_of(edit, round_number, topology)
    num_replicates, job_ids = shape.num_replicates, shape.job_ids
    rows = {row.job_id: row for job_id in job_ids if (row := reader.result(job_id)) is not None}
    adapts = [rows.get(job_id) for job_id in shape.adapts]
    evaluations = [rows.get(job_id) for job_id in shape.evaluates]
    replicates = tuple(replicate_of(number, adapts[number], evaluations[number]) for number in range(num_replicates))
    propose = next((rows[job_id] for job_id in reversed(job_ids) if job_id in rows and rows[job_id].stage == "propose"), None)
    proposal = _proposal(propose, edit)
    sequences, parse_error = _sequences(next((row for row in adapts if row is not None), None), proposal, known, shape)
    version = next(
        (row.policy_version for row in rows.values() if row.study == edit.study and row.stage in ("propose", "adapt", "evaluate")), None
    )
    base = base_row(reader, edit, version or 0)
    questions = question_stories(evaluations, base)
    given_up = tuple(SetAside(job_id=row.job_id, reason=row.reason) for row in reader.set_aside() if row.job_id in job_ids)
    state, state_reason = _state(replicates, given_up, parse_error, propose, edit)
    if state == "unparsed" and propose is not None and max(0, propose.replicate) < shape.max_resamples:
        state, state_reason = "unfinished", f"it could not be parsed and is drawn again ({parse_error})"
    if shape.has_rows:
        state, state_reason = _row_state(replicates, given_up, run_is_over=reader.meta().get("phase") == "done")
    meta, policies = reader.meta(), reader.policies()
    return Story(
        edit_id=str(edit),
        run=meta.get("run_id", ""),
        run_phase=meta.get("phase", ""),
        study=edit.study,
        round=round_number,
        kind=_kind(edit.study, round_number),
        context_id=edit.context_id,
        edit_index=edit.edit_index,
        state=state,
        state_reason=state_reason,
        title=known.instance.title if known.instance is not None else "",
        context=known.instance.context if known.instance is not None else None,
        proposal=proposal,
        sequences=sequences,
        parse_error=parse_error,
        replicates=replicates,
        num_replicates=num_replicates,
        base_study=base.study if base is not None else "",
        questions=questions,
        base_score=score_of(base) if base is not None else None,
        has_rows=shape.has_rows,
        reward=_reward(replicates[-1:] if shape.has_rows else replicates, state),
        credit=credit_of(rows.get(f"{edit.study}/credit"), edit, topology) if round_number is not None else None,
        policy=_policy(policies, version),
        next_policy=_next_policy(policies, round_number),
        attempts=attempts_of(job_ids, rows, reader.failures(), reader.agents()),
        set_aside=given_up,
        notes=(known.note,) if known.note and not edit.study.startswith("retention-") else (),
    )


def _look_up(topology: Topology, context_id: str) -> _Known:
    """Return what the task knows of a context; a task that cannot be loaded here costs the passage and nothing else."""
    try:
        task = make_task(topology.task)
        instances = (instance for split in SPLITS for instance in task.instances(split))
        found = next((instance for instance in instances if instance.instance_id == context_id), None)
    except (SealError, ImportError, OSError) as error:
        return _Known(task=None, instance=None, note=f"the passage is not shown: {error}")
    return _Known(task=task, instance=found, note="" if found is not None else "the task has no passage of this name")


def _proposal(row: ResultRow | None, edit: EditId) -> Proposal | None:
    if row is None:
        return None
    job, result = row.job, row.result
    assert isinstance(job, ProposeJob)
    assert isinstance(result, ProposeResult)
    place = {index: position for position, (index, _, _) in enumerate(proposed_edits(row))}.get(edit.edit_index)
    written = result.edits[place] if place is not None else None
    logprobs = written.logprobs if written is not None else ()
    return Proposal(
        prompt=job.prompt,
        prompt_tokens=result.prompt_tokens,
        prompt_truncated=result.prompt_truncated,
        temperature=job.sampling.temperature,
        top_p=job.sampling.top_p,
        max_new_tokens=job.sampling.max_new_tokens,
        seed=job.seeds[place] if place is not None else None,
        text=written.text if written is not None else None,
        num_tokens=len(written.token_ids) if written is not None else None,
        mean_logprob=sum(logprobs) / len(logprobs) if logprobs else None,
        finish_reason=written.finish_reason if written is not None else None,
    )


def _sequences(adapt: ResultRow | None, proposal: Proposal | None, known: _Known, shape: Shape) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the training sequences and why there are none: those that were trained on, else what the task makes of the text."""
    if adapt is not None and not shape.is_joint:
        assert isinstance(adapt.job, AdaptJob)
        return tuple((sequence.prompt, sequence.completion) for sequence in adapt.job.sequences), ""
    if proposal is None or proposal.text is None or known.task is None or known.instance is None:
        return (), ""
    try:
        make = partial(document_sequences, known.task) if shape.is_joint else known.task.training_sequences
        parsed = make(known.instance, proposal.text)
    except EditParseError as error:
        return (), str(error)
    return tuple((sequence.prompt, sequence.completion) for sequence in parsed), ""


def _state(
    replicates: Sequence[Replicate], given_up: Sequence[SetAside], parse_error: str, propose: ResultRow | None, edit: EditId
) -> tuple[EditState, str]:
    own = [lost for lost in given_up if lost.job_id.startswith(f"{edit.study}/{edit.context_id}/")]
    if own:
        return "invalid", own[0].reason
    missing = [replicate.number for replicate in replicates if replicate.score is None]
    if not missing:
        return "scored", ""
    if parse_error:
        return "unparsed", parse_error
    if propose is None and all(replicate.training is None for replicate in replicates):
        return "unfinished", "it has not been written yet"
    number = missing[0]
    waits_for = "its training" if replicates[number].training is None else "its examination"
    return "unfinished", f"replicate {number} waits for {waits_for}"


def _row_state(replicates: Sequence[Replicate], given_up: Sequence[SetAside], *, run_is_over: bool) -> tuple[EditState, str]:
    """Return the state of a continual edit: it is scored when its context was examined after the last edit of the sequence."""
    if replicates[-1].score is not None:
        return "scored", ""
    if given_up:
        return "invalid", given_up[0].reason
    if run_is_over:
        return "invalid", "its sequence ended early, at another edit"
    measured = sum(replicate.score is not None for replicate in replicates)
    return "unfinished", f"{measured} of {len(replicates)} rows are measured"


def _reward(replicates: Sequence[Replicate], state: EditState) -> float | None:
    """Return the mean over replicates, 0 for an edit that cannot be parsed, None for one that is not or cannot be measured."""
    scores = [replicate.score for replicate in replicates if replicate.score is not None]
    if state == "unparsed":
        return 0.0
    return sum(scores) / len(scores) if state == "scored" else None


def _policy(policies: Sequence[PolicyRow], version: int | None) -> PolicyStory | None:
    return next((_told(row) for row in policies if row.version == version), None)


def _next_policy(policies: Sequence[PolicyRow], round_number: int | None) -> PolicyStory | None:
    return next((_told(row) for row in policies if round_number is not None and row.round == round_number and row.version > 0), None)


def _told(row: PolicyRow) -> PolicyStory:
    parent = row.parent if row.parent >= 0 else None
    return PolicyStory(version=row.version, parent=parent, round=row.round, adapter_sha256=row.adapter_sha256, created_at=row.created_at)


def _round(study: str) -> int | None:
    kind, _, number = study.rpartition("-")
    return int(number) if kind == "round" and number.isdigit() else None


def _kind(study: str, round_number: int | None) -> str:
    if round_number is not None:
        return f"self-edit of round {round_number}"
    if study.startswith("heldout-v"):
        return f"held-out self-edit of policy v{study.removeprefix('heldout-v')}, never credited"
    if study.startswith("retention-v"):
        return f"known facts under policy v{study.removeprefix('retention-v')}, no edit"
    if study.startswith(CONTINUAL_PREFIX):
        version = study.removeprefix(CONTINUAL_PREFIX)
        return f"continual self-edit of policy v{version}, merged before the next one; r0, r1, ...: after so many edits; never credited"
    if study.startswith(f"{CPT_PREFIX}v"):
        return f"self-edit of policy v{study.removeprefix(f'{CPT_PREFIX}v')} for continued pretraining, never credited"
    return _KINDS.get(study, f"measurement {study}")
