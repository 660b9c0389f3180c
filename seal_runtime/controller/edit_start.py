"""How a self-edit begins: its text becomes inner loops, an examination of the policy alone, another sample, or the lowest score.

Invariant: what follows depends on the text, the task and names alone, so that a restarted controller lets it begin in the same way.
"""

from seal_runtime.config.topology import Topology
from seal_runtime.controller.commands import Commit, LogEvent, LogValue
from seal_runtime.controller.effects import Effects
from seal_runtime.controller.inner_loops import inner_loops
from seal_runtime.controller.progress import EditProgress, StudyProgress
from seal_runtime.controller.study import Study
from seal_runtime.controller.work import WorkFactory
from seal_runtime.errors import EditParseError
from seal_runtime.ledger.records import JobKey, SetAsideRecord
from seal_runtime.tasks.base import Instance, Task, Untrained


class EditStarter:
    """Turns the texts of self-edits into work."""

    def __init__(self, topology: Topology, task: Task, factory: WorkFactory) -> None:
        self._task = task
        self._trainer = topology.trainer
        self._max_resamples = topology.proposer.max_resamples
        self._factory = factory

    def start(
        self,
        progress: StudyProgress,
        instance: Instance,
        edit: EditProgress,
        text: str | None,
        effects: Effects,
        *,
        num_steps: int = 0,
        num_resamples: int = 0,
    ) -> bool:
        """Begin an edit (None where no policy wrote one: scripted or empty). Return False when it is drawn again instead.

        `num_steps` other than 0 fixes the optimizer steps; `num_resamples` says how often this edit was drawn again before.
        """
        study = progress.study
        where: dict[str, LogValue] = {"study": study.name, "context": instance.instance_id, "edit": edit.edit_index}
        try:
            if study.source == "scripted":
                text = self._task.scripted_edit(instance)  # type: ignore[attr-defined]
            seeds = [self._factory.loop_seed(study, instance, edit.edit_index, replicate) for replicate in range(study.replicates)]
            loops = inner_loops(self._task, self._trainer, instance, text, seeds, num_steps)
        except EditParseError as error:
            if study.source == "policy" and num_resamples < self._max_resamples:
                effects.log("edit_resampled", reason=str(error), resample=num_resamples + 1, **where)
                place = study, progress.policy, instance, edit.edit_index
                effects.works.append(self._factory.propose_again(*place, num_resamples + 1))
                return False
            progress.mark_unparsed(edit)
            effects.log("edit_unparsed", reason=str(error), **where)
            return True
        except Exception as error:
            _set_aside(progress, study, edit, f"the task's own code failed: {type(error).__name__}: {error}", where, effects)
            return True
        for replicate, loop in enumerate(loops):
            at = study, progress.policy, instance, edit.edit_index, replicate
            if isinstance(loop, Untrained):
                effects.log("edit_untrained", reason=loop.reason, replicate=replicate, **where)
                effects.works.append(self._factory.evaluate(*at, None))
            else:
                effects.works.append(self._factory.adapt(*at, loop.sequences, loop.optim))
        return True


def _set_aside(
    progress: StudyProgress, study: Study, edit: EditProgress, reason: str, where: dict[str, LogValue], effects: Effects
) -> None:
    effects.commands.append(LogEvent(level="error", name="edit_set_aside", fields={"reason": reason, **where}))
    key = JobKey(stage="adapt", study=study.name, context_id=str(where["context"]), edit_index=edit.edit_index, replicate=0)
    effects.commands.append(Commit(record=SetAsideRecord(job_id=key.job_id, reason=reason)))
    progress.lose(edit, reason, study.replicates)
