"""What a finished run must have committed, worked out from the topology, the task and the proposals alone.

The plan says which contexts, edits and replicates there are; the task says which proposals can be parsed, and what they train. No code
of the controller that runs, schedules or recovers jobs is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from protocol.jobs import CreditResult, ProposeResult
from seal_runtime.chaos.expected import NONE, Expected, expected, job_id_of
from seal_runtime.chaos.held_out_expectation import HeldOut
from seal_runtime.chaos.ledger_audit import LedgerAudit, Place
from seal_runtime.config.topology import Topology
from seal_runtime.controller.inner_loops import Loop, inner_loops
from seal_runtime.controller.plan import Plan
from seal_runtime.controller.study import Study
from seal_runtime.errors import EditParseError
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import Instance, Task, Untrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """All jobs of a run, and the edits whose text cannot be parsed (their score is 0 without any job)."""

    jobs: tuple[Expected, ...]
    unparsed: frozenset[tuple[str, str, int]]


def expect(topology: Topology, plan: Plan, task: Task, audit: LedgerAudit) -> Expectation:
    """Return what must be there. Proposals that are missing make the jobs that follow from them unknown; they are missed themselves."""
    edits = _Edits(topology, task, audit)
    jobs = [job for study in plan.studies for job in _of_study(study, edits, HeldOut(topology, task, audit, edits.unparsed))]
    for number in range(1, plan.num_rounds + 1):
        study = plan.study(f"round-{number}")
        place: Place = ("credit", study.name, "", NONE, NONE)
        jobs.append(expected(study, place))
        credit = audit.at(place)
        if credit is not None and isinstance(credit.result, CreditResult) and credit.result.update is not None:
            update = credit.result.update.sequences
            jobs.append(expected(study, ("policy", study.name, "", NONE, NONE), sequences=update))
    return Expectation(jobs=tuple(jobs), unparsed=frozenset(edits.unparsed))


def _of_study(study: Study, edits: "_Edits", held_out: HeldOut) -> Iterator[Expected]:
    if study.is_joint:
        yield from held_out.of_joint(study)
    elif study.sequence_length:
        for instances in study.sequences():
            yield from held_out.of_sequence(study, instances)
    else:
        for instance in study.instances:
            yield from edits.of_context(study, instance)


class _Edits:
    """The jobs of self-edits; `unparsed` gathers those that give none."""

    def __init__(self, topology: Topology, task: Task, audit: LedgerAudit) -> None:
        self._topology = topology
        self._task = task
        self._audit = audit
        self.unparsed: set[tuple[str, str, int]] = set()

    def of_context(self, study: Study, instance: Instance) -> Iterator[Expected]:
        """Yield the jobs of a context."""
        context_id = instance.instance_id
        if study.source == "none":
            yield expected(study, ("evaluate", study.name, context_id, 0, 0))
        elif study.source == "policy":
            yield from self._of_proposal(study, instance)
        else:
            scripted: Any = self._task
            text = scripted.scripted_edit(instance) if study.source == "scripted" else None
            yield from self._of_edit(study, instance, 0, self._loops(study, instance, 0, text))

    def _of_proposal(self, study: Study, instance: Instance) -> Iterator[Expected]:
        context_id = instance.instance_id
        place: Place = ("propose", study.name, context_id, NONE, NONE)
        yield expected(study, place)
        row = self._audit.at(place)
        if row is None or not isinstance(row.result, ProposeResult):
            return
        texts = [edit.text for edit in row.result.edits]
        for index, text in enumerate(texts):
            yield from self._of_draws(study, instance, index, text)
        for index in range(len(texts), study.edits_per_context):  # a proposal that is too short lost them
            yield expected(study, ("adapt", study.name, context_id, index, 0))

    def _of_draws(self, study: Study, instance: Instance, index: int, text: str) -> Iterator[Expected]:
        """Yield an edit's further draws, while it cannot be parsed, and what the last one gives."""
        loops = self._loops(study, instance, index, text)
        for number in range(1, self._topology.proposer.max_resamples + 1):
            if loops != "unparsed":
                break
            place: Place = ("propose", study.name, instance.instance_id, index, number)
            yield expected(study, place)
            row = self._audit.at(place)
            if row is None or not isinstance(row.result, ProposeResult) or len(row.result.edits) != 1:
                return
            loops = self._loops(study, instance, index, row.result.edits[0].text)
        yield from self._of_edit(study, instance, index, loops)

    def _loops(
        self, study: Study, instance: Instance, index: int, text: str | None
    ) -> list[Loop | Untrained] | Literal["unparsed", "broken"]:
        places = [(study.name, instance.instance_id, index, replicate) for replicate in range(study.replicates)]
        seeds = [derive_seed(self._topology.run.seed, "inner-loop", *place) for place in places]
        try:
            return inner_loops(self._task, self._topology.trainer, instance, text, seeds, 0)
        except EditParseError:
            return "unparsed"
        except Exception:  # becomes an expectation: the controller sets such an edit aside by its first inner loop
            return "broken"

    def _of_edit(
        self, study: Study, instance: Instance, index: int, loops: list[Loop | Untrained] | Literal["unparsed", "broken"]
    ) -> Iterator[Expected]:
        context_id = instance.instance_id
        if loops == "unparsed":
            self.unparsed.add((study.name, context_id, index))
            return
        if loops == "broken":
            yield expected(study, ("adapt", study.name, context_id, index, 0))
            return
        for replicate, loop in enumerate(loops):
            evaluate: Place = ("evaluate", study.name, context_id, index, replicate)
            adapt: Place = ("adapt", study.name, context_id, index, replicate)
            if isinstance(loop, Untrained):
                yield expected(study, evaluate)
            else:
                yield expected(study, adapt, sequences=loop.sequences)
                yield expected(study, evaluate, examined=adapt, covered_by=(job_id_of(adapt),))
