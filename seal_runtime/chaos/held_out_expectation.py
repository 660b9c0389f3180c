"""What continued pretraining and continual self-edits must have committed, from the task and the proposals alone.

As for single edits, no code of the controller that runs these studies is used.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from protocol.jobs import AdaptResult, ProposeResult, TrainingSequence
from seal_runtime.chaos.expected import NONE, Expected, expected, job_id_of
from seal_runtime.chaos.ledger_audit import LedgerAudit, Place
from seal_runtime.config.topology import Topology
from seal_runtime.controller.inner_loops import inner_loops
from seal_runtime.controller.study import Study
from seal_runtime.errors import EditParseError
from seal_runtime.seeds import derive_seed
from seal_runtime.tasks.base import Instance, Task, Untrained


class HeldOut:
    """The jobs of these studies; `unparsed` gathers the edits that cannot be parsed."""

    def __init__(self, topology: Topology, task: Task, audit: LedgerAudit, unparsed: set[tuple[str, str, int]]) -> None:
        self._topology = topology
        self._task = task
        self._audit = audit
        self._unparsed = unparsed

    def of_joint(self, study: Study) -> Iterator[Expected]:
        """Yield the jobs of a study in which one adapter learns all contexts."""
        documents: dict[str, tuple[TrainingSequence, ...]] = {}
        for instance in study.instances:
            context_id = instance.instance_id
            if study.source == "policy":
                yield expected(study, ("propose", study.name, context_id, NONE, NONE))
            texts = self._texts(study, instance)
            if texts is None:
                continue
            try:
                documents[context_id] = self._documents(study, instance, texts)
            except Exception:  # becomes an expectation: the controller sets such a context aside
                yield expected(study, ("adapt", study.name, context_id, 0, 0))
        sequences = tuple(sequence for texts in documents.values() for sequence in texts)
        for replicate in range(study.replicates if sequences else 0):
            adapt: Place = ("adapt", study.name, "", NONE, replicate)
            yield expected(study, adapt, sequences=sequences)
            for context_id in documents:
                place: Place = ("evaluate", study.name, context_id, 0, replicate)
                yield expected(study, place, examined=adapt, covered_by=(job_id_of(adapt),))

    def of_sequence(self, study: Study, instances: Sequence[Instance]) -> Iterator[Expected]:
        """Yield the jobs of one continual sequence, as far as it went."""
        merged: list[Place] = []
        yield from _row(study, instances, 0, merged)
        for step, instance in enumerate(instances, start=1):
            place: Place = ("propose", study.name, instance.instance_id, NONE, NONE)
            yield expected(study, place, merged=tuple(merged))
            row = self._audit.at(place)
            if row is None or not isinstance(row.result, ProposeResult):
                return
            adapt: Place = ("adapt", study.name, instance.instance_id, 0, step)
            try:
                seed = derive_seed(self._topology.run.seed, "inner-loop", study.name, instance.instance_id, 0, step)
                (loop,) = inner_loops(self._task, self._topology.trainer, instance, row.result.edits[0].text, [seed], 0)
            except EditParseError:
                self._unparsed.add((study.name, instance.instance_id, 0))
            except Exception:  # becomes an expectation: the controller sets such an edit aside
                yield expected(study, adapt)
                return
            else:
                if isinstance(loop, Untrained):
                    yield from _row(study, instances, step, merged)
                    continue
                yield expected(study, adapt, sequences=loop.sequences, merged=tuple(merged))
                trained = self._audit.at(adapt)
                if trained is None or not isinstance(trained.result, AdaptResult):
                    return
                merged.append(adapt)
            yield from _row(study, instances, step, merged)

    def _texts(self, study: Study, instance: Instance) -> Sequence[str] | None:
        """Return the edits of a context, None when its proposal is not there."""
        if study.source == "policy":
            row = self._audit.at(("propose", study.name, instance.instance_id, NONE, NONE))
            return [edit.text for edit in row.result.edits] if row is not None and isinstance(row.result, ProposeResult) else None
        if study.source == "empty":
            return [""]
        scripted: Any = self._task
        return (
            scripted.scripted_edits(instance)[: study.num_proposals]
            if hasattr(self._task, "scripted_edits")
            else [scripted.scripted_edit(instance)]
        )

    def _documents(self, study: Study, instance: Instance, texts: Sequence[str]) -> tuple[TrainingSequence, ...]:
        make: Any = getattr(self._task, "document_sequences", self._task.training_sequences)
        found: list[TrainingSequence] = []
        for index, text in enumerate(texts):
            try:
                found += [sequence for sequence in make(instance, text) if sequence not in found]
            except EditParseError:
                self._unparsed.add((study.name, instance.instance_id, index))
        return tuple(found or make(instance, ""))


def _row(study: Study, instances: Sequence[Instance], number: int, merged: Sequence[Place]) -> Iterator[Expected]:
    for instance in instances:
        place: Place = ("evaluate", study.name, instance.instance_id, 0, number)
        yield expected(study, place, examined=merged[-1] if merged else None, merged=tuple(merged[:-1]))
