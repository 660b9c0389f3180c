"""The one command behind the built-in models: train, write the folder, verify what was written, write its card."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from seal_runtime.pretrain.network import NetworkShape, save_model
from seal_runtime.pretrain.optimizer import ADAM_LEARNING_RATE
from seal_runtime.pretrain.training import Progress, train
from seal_runtime.pretrain.vocabulary import save_tokenizer
from seal_runtime.pretrain.worlds import TrainingFacts, World

EXAMINE_EVERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainStatus:
    """Where a pretraining run is. `examination` is there every 100 steps, None otherwise."""

    step: int
    num_steps: int
    num_tokens: int
    losses: tuple[float, ...]
    seconds: float
    examination: dict[str, float] | None

    def __str__(self) -> str:
        losses = " / ".join(f"{loss:.3f}" for loss in self.losses)
        shares = "".join(f"  {name} {share:.3f}" for name, share in (self.examination or {}).items())
        return f"step {self.step}/{self.num_steps}  {self.seconds:.0f} s  {self.num_tokens / 1e6:.2f} M tokens  loss {losses}{shares}"


def pretrain(
    world: World, out: Path, seed: int, steps: int | None, threads: int, on_progress: Callable[[PretrainStatus], None]
) -> TrainingFacts:
    """Make a model folder from nothing. `out` appears only when it is complete and verified. `steps` None: the world's own number.

    Raises FileExistsError when `out` is a folder with something in it.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"expected a new or empty folder, got {out} with files in it; name another one or remove it")
    torch.set_num_threads(threads)
    num_steps = steps or world.default_steps
    started, cpu_started = time.monotonic(), time.process_time()
    tokenizer = world.build_tokenizer()
    shape = NetworkShape(vocabulary=tokenizer.get_vocab_size())
    num_tokens = 0

    def report_step(progress: Progress) -> None:
        nonlocal num_tokens
        num_tokens = progress.num_tokens
        due = progress.step % EXAMINE_EVERY == 0
        on_progress(
            PretrainStatus(
                step=progress.step,
                num_steps=progress.num_steps,
                num_tokens=progress.num_tokens,
                losses=progress.losses,
                seconds=time.monotonic() - started,
                examination=world.examine(shape, progress.weights, tokenizer) if due else None,
            )
        )

    shape, weights = train(world, tokenizer, seed, num_steps, report_step)
    cpu_seconds = time.process_time() - cpu_started
    unfinished = out.with_name(out.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_tokenizer(tokenizer, unfinished)
    save_model(shape, weights, unfinished)
    facts = TrainingFacts(
        name=out.name,
        seed=seed,
        num_steps=num_steps,
        muon_learning_rate=world.muon_learning_rate,
        adam_learning_rate=ADAM_LEARNING_RATE,
        num_tokens=num_tokens,
        num_parameters=sum(weight.numel() for weight in weights.values()),
        cpu_seconds=cpu_seconds,
    )
    (unfinished / "README.md").write_text(world.model_card(unfinished, facts))
    if out.exists():
        out.rmdir()
    os.replace(unfinished, out)
    return facts
