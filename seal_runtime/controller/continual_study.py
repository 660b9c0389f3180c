"""Continual self-edits: a sequence of contexts is learned one after the other, each adapter is merged before the next is trained.

    propose k -> adapt k on policy + adapters 1 .. k-1 -> all K contexts under policy + adapters 1 .. k  (row k) -> propose k+1

Row 0 is the policy itself. Row k is examined as policy + adapters 1 .. k-1 with adapter k on top, so that each receipt names the adapter
that made the difference. Sequences know nothing of one another and run side by side; so do the examination of a row and the next step.
An edit that cannot be parsed, or trains nothing, leaves the model as it is, and its row is measured all the same; it is not drawn again.
A proposal or an inner loop that was set aside ends its sequence: the rows from there on are missing. An examination that was set aside
is one missing cell.
"""

from dataclasses import dataclass, replace

from protocol.jobs import AdapterRef, AdaptResult, EvaluateResult, JobResult, PolicyRef, ProposeResult
from seal_runtime.algorithms.continual import ContinualFigures, continual_figures
from seal_runtime.config.topology import Topology
from seal_runtime.controller.commands import Commit, LogEvent
from seal_runtime.controller.effects import Effects
from seal_runtime.controller.held_adapters import HeldAdapters
from seal_runtime.controller.inner_loops import inner_loops
from seal_runtime.controller.progress import StudyProgress
from seal_runtime.controller.truncation import Truncation
from seal_runtime.controller.work import Work, WorkFactory
from seal_runtime.errors import EditParseError
from seal_runtime.ledger.records import JobKey, SetAsideRecord
from seal_runtime.tasks.base import Instance, Task, Untrained


def figures_of(progress: StudyProgress) -> ContinualFigures | None:
    """Return the matrices' means and spreads, None for a study of another kind."""
    study = progress.study
    if not study.sequence_length:
        return None
    sequences = [
        [[progress.edit(instance.instance_id, 0).scores.get(row) for instance in sequence] for row in range(study.replicates)]
        for sequence in study.sequences()
    ]
    return continual_figures(sequences)


@dataclass(slots=True, kw_only=True)
class _Sequence:
    """One sequence: what was merged so far, after how many steps, and how many of its jobs are open."""

    number: int
    instances: tuple[Instance, ...]
    merged: tuple[AdapterRef, ...] = ()
    num_steps: int = 0
    num_open: int = 0


class ContinualStudy:
    """All sequences of one such study."""

    def __init__(
        self, topology: Topology, task: Task, factory: WorkFactory, progress: StudyProgress, adapters: HeldAdapters, truncation: Truncation
    ) -> None:
        self._task = task
        self._trainer = topology.trainer
        self._factory = factory
        self._progress = progress
        self._adapters = adapters
        self._truncation = truncation
        self._sequence_of: dict[str, _Sequence] = {}

    def open(self, effects: Effects) -> None:
        """Examine the policy itself, and begin each sequence."""
        for number, instances in enumerate(self._progress.study.sequences()):
            sequence = _Sequence(number=number, instances=instances)
            self._sequence_of |= {instance.instance_id: sequence for instance in instances}
            self._propose(sequence, effects)
            self._examine(sequence, effects)

    def apply(self, work: Work, result: JobResult, effects: Effects) -> None:
        """Enter a result and go on from it."""
        key, sequence = work.key, self._sequence_of[work.key.context_id]
        match result:
            case ProposeResult():
                effects.commands += self._truncation.of_prompt(key, result)
                self._progress.count_text(key.context_id, result.edits[0])
                self._train(sequence, result.edits[0].text, effects)
            case AdaptResult():
                effects.commands += self._truncation.of_training(key, result)
                sequence.merged = (*sequence.merged, result.adapter)
                self._adapters.hold(result.adapter)
                self._step(sequence, effects)
            case EvaluateResult():
                score = result.score
                self._progress.score(self._progress.edit(key.context_id, 0), key.replicate, score)
                effects.log("cell_graded", study=key.study, context=key.context_id, row=key.replicate, score=score)
        self._close_one(sequence, effects)

    def set_aside(self, work: Work, reason: str, effects: Effects) -> None:
        """End the sequence, or lose a cell with its examination."""
        key, sequence = work.key, self._sequence_of[work.key.context_id]
        if key.stage == "evaluate":
            self._progress.lose(self._progress.edit(key.context_id, 0), reason)
        else:
            self._end(sequence, reason, effects)
        self._close_one(sequence, effects)

    def _propose(self, sequence: _Sequence, effects: Effects) -> None:
        if sequence.num_steps < len(sequence.instances):
            instance = sequence.instances[sequence.num_steps]
            self._open_jobs(sequence, [self._factory.propose(self._progress.study, self._policy(sequence.merged), instance)], effects)

    def _train(self, sequence: _Sequence, text: str, effects: Effects) -> None:
        instance, study = sequence.instances[sequence.num_steps], self._progress.study
        try:
            seed = self._factory.loop_seed(study, instance, 0, sequence.num_steps + 1)
            (loop,) = inner_loops(self._task, self._trainer, instance, text, [seed], 0)
        except EditParseError as error:
            self._progress.count_left_out()
            effects.log("edit_unparsed", study=study.name, context=instance.instance_id, edit=0, reason=str(error))
            self._step(sequence, effects)
            return
        except Exception as error:
            reason = f"the task's own code failed: {type(error).__name__}: {error}"
            key = JobKey(stage="adapt", study=study.name, context_id=instance.instance_id, edit_index=0, replicate=sequence.num_steps + 1)
            effects.commands.append(LogEvent(level="error", name="job_set_aside", fields={"job": key.job_id, "reason": reason}))
            effects.commands.append(Commit(record=SetAsideRecord(job_id=key.job_id, reason=reason)))
            self._end(sequence, reason, effects)
            return
        if isinstance(loop, Untrained):
            effects.log("edit_untrained", study=study.name, context=instance.instance_id, edit=0, reason=loop.reason)
            self._step(sequence, effects)
            return
        place = study, self._policy(sequence.merged), instance, 0, sequence.num_steps + 1
        self._open_jobs(sequence, [self._factory.adapt(*place, loop.sequences, loop.optim)], effects)

    def _step(self, sequence: _Sequence, effects: Effects) -> None:
        """Take the model as it now is: examine it, and write the next edit with it."""
        sequence.num_steps += 1
        effects.log("edit_merged", study=self._progress.study.name, sequence=sequence.number, step=sequence.num_steps)
        self._propose(sequence, effects)
        self._examine(sequence, effects)

    def _examine(self, sequence: _Sequence, effects: Effects) -> None:
        """Ask for one row of the matrix: every context of the sequence, seen or not."""
        study, row = self._progress.study, sequence.num_steps
        policy, adapter = self._policy(sequence.merged[:-1]), sequence.merged[-1] if sequence.merged else None
        works = [self._factory.evaluate(study, policy, instance, 0, row, adapter) for instance in sequence.instances]
        self._open_jobs(sequence, works, effects)

    def _policy(self, merged: tuple[AdapterRef, ...]) -> PolicyRef:
        return replace(self._progress.policy, chain=(*self._progress.policy.chain, *merged))

    def _end(self, sequence: _Sequence, reason: str, effects: Effects) -> None:
        """Give up the rows that are not begun."""
        num_lost = len(sequence.instances) - sequence.num_steps
        effects.commands.append(
            LogEvent(
                level="error",
                name="sequence_ended_early",
                fields={"study": self._progress.study.name, "sequence": sequence.number, "steps": sequence.num_steps, "reason": reason},
            )
        )
        for instance in sequence.instances:
            self._progress.lose(self._progress.edit(instance.instance_id, 0), reason, num_lost)

    def _open_jobs(self, sequence: _Sequence, works: list[Work], effects: Effects) -> None:
        sequence.num_open += len(works)
        effects.works += works

    def _close_one(self, sequence: _Sequence, effects: Effects) -> None:
        """Let go of the adapters with the sequence's last job: until then the model is made of them."""
        sequence.num_open -= 1
        if not sequence.num_open:
            for adapter in sequence.merged:
                effects.commands += self._adapters.release(adapter)
