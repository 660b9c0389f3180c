"""What a self-edit is trained on and how: by the task's rules and `trainer.optim`, or as the edit itself chooses (InnerLoopTask).

The same task, edit and seeds give the same loops, so a restarted controller writes the same jobs again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from protocol.jobs import OptimSpec, TrainingSequence
from seal_runtime.config.agents import TrainerConfig
from seal_runtime.tasks.base import InnerLoop, InnerLoopTask, Instance, Task, Untrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """The training of one replicate."""

    sequences: tuple[TrainingSequence, ...]
    optim: OptimSpec


def inner_loops(
    task: Task, trainer: TrainerConfig, instance: Instance, edit: str | None, seeds: Sequence[int], num_steps: int
) -> list[Loop | Untrained]:
    """Return the training of each replicate, one for each seed; an edit of None is the passage-only control.

    `num_steps` other than 0 fixes the optimizer steps (the equal-step control). Raises EditParseError, and whatever the task's own
    code raises.
    """
    if edit is not None and isinstance(task, InnerLoopTask):
        return [_chosen(task.inner_loop(instance, edit, seed), trainer) for seed in seeds]
    optim = trainer.optim.spec(num_steps=num_steps, pad_loss=trainer.pad_loss)
    loop = Loop(sequences=task.training_sequences(instance, edit or ""), optim=optim)
    return [loop] * len(seeds)


def _chosen(chosen: InnerLoop | Untrained, trainer: TrainerConfig) -> Loop | Untrained:
    if isinstance(chosen, Untrained):
        return chosen
    given = trainer.optim.spec(pad_loss=trainer.pad_loss)
    num_steps = math.ceil(chosen.epochs * -(-len(chosen.sequences) // given.batch_size))
    if num_steps < 1:
        return Untrained(reason=f"{len(chosen.sequences)} sequences and {chosen.epochs:g} epochs make no optimizer step")
    if num_steps == 1 and given.warmup_steps:
        return Untrained(reason="its only optimizer step is the first of the warm-up, whose learning rate is 0")
    optim = replace(given, learning_rate=chosen.learning_rate, epochs=max(1, math.ceil(chosen.epochs)), num_steps=num_steps)
    return Loop(sequences=chosen.sequences, optim=optim)
