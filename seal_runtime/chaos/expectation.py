"""What a finished run must have committed, worked out from the topology, the task and the proposals alone.

The plan says which contexts, edits and replicates there are; the task says which proposals can be parsed. No code of the controller
that runs, schedules or recovers jobs is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from protocol.jobs import CreditResult, ProposeResult, TrainingSequence
from seal_runtime.chaos.ledger_audit import LedgerAudit, Place
from seal_runtime.controller.plan import Plan, Study
from seal_runtime.errors import EditParseError
from seal_runtime.tasks.base import Instance, Task

NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One job that must be committed or set aside. `sequences` are an inner loop's training texts, None for every other stage.

    `covered_by` are the ids of jobs whose being set aside excuses this one.
    """

    place: Place
    study: Study | None
    sequences: tuple[TrainingSequence, ...] | None
    covered_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """All jobs of a run, and the edits whose text cannot be parsed (their score is 0 without any job)."""

    jobs: tuple[Expected, ...]
    unparsed: frozenset[tuple[str, str, int]]


def expect(plan: Plan, task: Task, audit: LedgerAudit) -> Expectation:
    """Return what must be there. Proposals that are missing make the jobs that follow from them unknown; they are missed themselves."""
    jobs: list[Expected] = []
    unparsed: set[tuple[str, str, int]] = set()
    for study in plan.studies:
        for instance in study.instances:
            jobs += _of_context(study, instance, task, audit, unparsed)
    for number in range(1, plan.num_rounds + 1):
        study = plan.study(f"round-{number}")
        place: Place = ("credit", study.name, "", NONE, NONE)
        jobs.append(Expected(place=place, study=study, sequences=None, covered_by=()))
        credit = audit.at(place)
        if credit is not None and isinstance(credit.result, CreditResult) and credit.result.update is not None:
            update = credit.result.update.sequences
            jobs.append(Expected(place=("policy", study.name, "", NONE, NONE), study=study, sequences=update, covered_by=()))
    return Expectation(jobs=tuple(jobs), unparsed=frozenset(unparsed))


def job_id_of(place: Place) -> str:
    """Return the id that the job at a place must have."""
    stage, study, context_id, edit_index, replicate = place
    if stage in ("credit", "policy"):
        return f"{study}/{stage}"
    if stage == "propose":
        return f"{study}/{context_id}/propose"
    return f"{study}/{context_id}/e{edit_index}/r{replicate}/{stage}"


def _of_context(
    study: Study, instance: Instance, task: Task, audit: LedgerAudit, unparsed: set[tuple[str, str, int]]
) -> Iterator[Expected]:
    context_id = instance.instance_id
    texts: list[str] = []
    if study.source == "policy":
        place: Place = ("propose", study.name, context_id, NONE, NONE)
        yield Expected(place=place, study=study, sequences=None, covered_by=())
        row = audit.at(place)
        if row is None or not isinstance(row.result, ProposeResult):
            return
        texts = [edit.text for edit in row.result.edits]
    elif study.source == "none":
        yield Expected(place=("evaluate", study.name, context_id, 0, 0), study=study, sequences=None, covered_by=())
        return
    elif study.source == "scripted":
        scripted: Any = task
        texts = [scripted.scripted_edit(instance)]
    else:
        texts = [""]
    for index, text in enumerate(texts):
        try:
            sequences = task.training_sequences(instance, text)
        except EditParseError:
            unparsed.add((study.name, context_id, index))
            continue
        except Exception:  # becomes an expectation: the controller sets such an edit aside by its first inner loop
            yield Expected(place=("adapt", study.name, context_id, index, 0), study=study, sequences=None, covered_by=())
            continue
        yield from _of_edit(study, context_id, index, sequences)
    for index in range(len(texts), study.edits_per_context):  # a proposal that is too short lost them
        yield Expected(place=("adapt", study.name, context_id, index, 0), study=study, sequences=None, covered_by=())


def _of_edit(study: Study, context_id: str, index: int, sequences: tuple[TrainingSequence, ...]) -> Iterator[Expected]:
    for replicate in range(study.replicates):
        adapt: Place = ("adapt", study.name, context_id, index, replicate)
        evaluate: Place = ("evaluate", study.name, context_id, index, replicate)
        yield Expected(place=adapt, study=study, sequences=tuple(sequences), covered_by=())
        yield Expected(place=evaluate, study=study, sequences=None, covered_by=(job_id_of(adapt),))
