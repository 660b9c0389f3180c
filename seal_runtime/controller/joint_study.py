"""Continued pretraining: the self-edits of many contexts are trained into one adapter, then each context is examined with it.

    propose every context -> documents of all -> adapt (each replicate) -> evaluate every context -> score

The adapter is trained when the last proposal is settled, on the documents in the order of the study's contexts, so that the order in
which results come in leaves no trace. An edit that cannot be used is left out; a context whose edits cannot is trained on as it is; one
whose proposal was lost is neither trained on nor examined.
"""

from collections.abc import Sequence

from protocol.codec import MAX_CONTROL_FRAME_BYTES
from protocol.jobs import AdapterRef, AdaptResult, EvaluateJob, EvaluateResult, JobResult, ProposeResult, TrainingSequence
from seal_runtime.config.topology import Topology
from seal_runtime.controller.commands import Commit, LogEvent
from seal_runtime.controller.effects import Effects
from seal_runtime.controller.held_adapters import HeldAdapters
from seal_runtime.controller.progress import StudyProgress
from seal_runtime.controller.truncation import Truncation
from seal_runtime.controller.work import Work, WorkFactory
from seal_runtime.errors import EditParseError
from seal_runtime.ledger.records import JobKey, SetAsideRecord
from seal_runtime.tasks.base import Instance, Task
from seal_runtime.tasks.documents import document_sequences, scripted_edits

MAX_DOCUMENT_BYTES = MAX_CONTROL_FRAME_BYTES - (1 << 16)
"""What all documents may take together: they travel in one message."""
SEQUENCE_OVERHEAD_BYTES = 64
"""What the message needs for a document beside its text, at most."""


class JointStudy:
    """One such study under way."""

    def __init__(
        self, topology: Topology, task: Task, factory: WorkFactory, progress: StudyProgress, adapters: HeldAdapters, truncation: Truncation
    ) -> None:
        self._task = task
        self._factory = factory
        self._progress = progress
        self._adapters = adapters
        self._truncation = truncation
        self._documents: dict[str, tuple[TrainingSequence, ...]] = {}
        study, config = progress.study, topology.evaluation.cpt
        self._lora = config.lora_spec()
        self._optim = config.optim_spec(
            version=study.policy_version, passage_only=study.source == "empty", pad_loss=topology.trainer.pad_loss
        )

    def open(self, effects: Effects) -> None:
        """Ask for the edits, or take those that need no policy."""
        study = self._progress.study
        for instance in study.instances:
            if study.source == "policy":
                effects.works.append(self._factory.propose(study, self._progress.policy, instance))
            else:
                self._take_edits(instance, None, effects)
        self._train_when_ready(effects)

    def apply(self, work: Work, result: JobResult, effects: Effects) -> None:
        """Enter a result."""
        match result:
            case ProposeResult():
                effects.commands += self._truncation.of_prompt(work.key, result)
                for edit in result.edits:
                    self._progress.count_text(work.key.context_id, edit)
                instance = self._progress.contexts[work.key.context_id].instance
                self._take_edits(instance, [edit.text for edit in result.edits], effects)
                self._train_when_ready(effects)
            case AdaptResult():
                effects.commands += self._truncation.of_training(work.key, result)
                self._examine(work.key.replicate, result.adapter, effects)
            case EvaluateResult():
                key, score = work.key, result.score
                self._progress.score(self._progress.edit(key.context_id, 0), key.replicate, score)
                effects.log("context_graded", study=key.study, context=key.context_id, replicate=key.replicate, score=score)
                self._release(work, effects)

    def set_aside(self, work: Work, reason: str, effects: Effects) -> None:
        """Go on without a job: a context is lost with its proposal or its examination, a replicate with its adapter."""
        if work.key.stage == "propose":
            self._lose_context(work.key.context_id, reason)
            self._train_when_ready(effects)
        elif work.key.stage == "adapt":
            self._lose_replicate(reason)
        else:
            self._release(work, effects)
            self._progress.lose(self._progress.edit(work.key.context_id, 0), reason)

    def _take_edits(self, instance: Instance, texts: Sequence[str] | None, effects: Effects) -> None:
        """Make the documents of a context, each text once. A failure of the task's own code loses the context."""
        study = self._progress.study
        try:
            texts = self._own_edits(instance) if texts is None else texts
            found = dict.fromkeys(sequence for text in texts for sequence in self._sequences(instance, text, effects))
            self._documents[instance.instance_id] = tuple(found) or document_sequences(self._task, instance, "")
        except Exception as error:
            reason = f"the task's own code failed: {type(error).__name__}: {error}"
            where = {"study": study.name, "context": instance.instance_id}
            effects.commands.append(LogEvent(level="error", name="context_set_aside", fields={"reason": reason, **where}))
            key = JobKey(stage="adapt", study=study.name, context_id=instance.instance_id, edit_index=0, replicate=0)
            effects.commands.append(Commit(record=SetAsideRecord(job_id=key.job_id, reason=reason)))
            self._lose_context(instance.instance_id, reason)

    def _own_edits(self, instance: Instance) -> Sequence[str]:
        if self._progress.study.source == "empty":
            return ("",)
        return scripted_edits(self._task, instance, self._progress.study.num_proposals)

    def _sequences(self, instance: Instance, text: str, effects: Effects) -> tuple[TrainingSequence, ...]:
        try:
            return document_sequences(self._task, instance, text)
        except EditParseError as error:
            self._progress.count_left_out()
            effects.log("edit_unparsed", study=self._progress.study.name, context=instance.instance_id, reason=str(error))
            return ()

    def _train_when_ready(self, effects: Effects) -> None:
        progress, study = self._progress, self._progress.study
        if len(self._documents) + progress.num_settled < len(study.instances) or not self._documents:
            return
        kept = [self._documents[instance.instance_id] for instance in study.instances if instance.instance_id in self._documents]
        sequences = tuple(sequence for documents in kept for sequence in documents)
        num_bytes = documents_bytes(sequences)
        effects.log("documents_ready", study=study.name, contexts=len(kept), documents=len(sequences), bytes=num_bytes)
        for replicate in range(study.replicates):
            work = self._factory.joint(study, progress.policy, replicate, sequences, self._lora, self._optim)
            if num_bytes <= MAX_DOCUMENT_BYTES:
                effects.works.append(work)
                continue
            reason = (
                f"the documents take {num_bytes:,} bytes, and at most {MAX_DOCUMENT_BYTES:,} fit one message: "
                "lower evaluation.cpt.num_contexts, evaluation.cpt.edits_per_context or proposer.sampling.max_new_tokens"
            )
            effects.commands.append(LogEvent(level="error", name="job_set_aside", fields={"job": work.job_id, "reason": reason}))
            effects.commands.append(Commit(record=SetAsideRecord(job_id=work.job_id, reason=reason)))
            self._lose_replicate(reason)

    def _examine(self, replicate: int, adapter: AdapterRef, effects: Effects) -> None:
        instances = [self._progress.contexts[context_id].instance for context_id in self._trained()]
        self._adapters.hold(adapter, len(instances))
        effects.works += [
            self._factory.evaluate(self._progress.study, self._progress.policy, instance, 0, replicate, adapter) for instance in instances
        ]

    def _trained(self) -> list[str]:
        """Return the contexts whose documents are trained on, in their order."""
        return [context_id for context_id in self._progress.contexts if context_id in self._documents]

    def _release(self, work: Work, effects: Effects) -> None:
        assert isinstance(work.job, EvaluateJob)
        if work.job.adapter is not None:
            effects.commands += self._adapters.release(work.job.adapter)

    def _lose_context(self, context_id: str, reason: str) -> None:
        self._progress.lose(self._progress.edit(context_id, 0), reason, self._progress.study.replicates)

    def _lose_replicate(self, reason: str) -> None:
        for context_id in self._trained():
            self._progress.lose(self._progress.edit(context_id, 0), reason)


def documents_bytes(sequences: Sequence[TrainingSequence]) -> int:
    """Return what sequences take in a message, at most."""
    return sum(
        len(sequence.prompt.encode("utf-8", "surrogatepass"))
        + len(sequence.completion.encode("utf-8", "surrogatepass"))
        + SEQUENCE_OVERHEAD_BYTES
        for sequence in sequences
    )
