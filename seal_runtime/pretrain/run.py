"""The one command behind the built-in models: train, write the folder, verify what was written, write its card."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from seal_runtime.pretrain.examination import Examination, examine
from seal_runtime.pretrain.network import NetworkShape, save_model
from seal_runtime.pretrain.optimizer import ADAM_LEARNING_RATE, MUON_LEARNING_RATE
from seal_runtime.pretrain.report import PretrainReport, model_card
from seal_runtime.pretrain.training import Progress, train
from seal_runtime.pretrain.verification import FULL, VerificationSize, verify
from seal_runtime.pretrain.vocabulary import build_tokenizer, save_tokenizer

EXAMINE_EVERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainStatus:
    """Where a pretraining run is. `examination` is there every 100 steps, None otherwise."""

    step: int
    num_steps: int
    num_tokens: int
    long_loss: float
    short_loss: float
    seconds: float
    examination: Examination | None


def pretrain(
    out: Path, seed: int, steps: int, threads: int, on_progress: Callable[[PretrainStatus], None], size: VerificationSize = FULL
) -> PretrainReport:
    """Make a model folder from nothing and return its report. `out` appears only when it is complete and verified.

    `size` says how much the verification measures. Raises FileExistsError when `out` is a folder with something in it.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"expected a new or empty folder, got {out} with files in it; name another one or remove it")
    torch.set_num_threads(threads)
    started, cpu_started = time.monotonic(), time.process_time()
    tokenizer = build_tokenizer()
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
                long_loss=progress.long_loss,
                short_loss=progress.short_loss,
                seconds=time.monotonic() - started,
                examination=examine(shape, progress.weights, tokenizer, num_known_entities=40) if due else None,
            )
        )

    shape, weights = train(tokenizer, seed, steps, report_step)
    trained, cpu_trained = time.monotonic(), time.process_time()
    unfinished = out.with_name(out.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_tokenizer(tokenizer, unfinished)
    save_model(shape, weights, unfinished)
    report = PretrainReport(
        folder=out,
        seed=seed,
        num_steps=steps,
        muon_learning_rate=MUON_LEARNING_RATE,
        adam_learning_rate=ADAM_LEARNING_RATE,
        num_tokens=num_tokens,
        num_parameters=sum(weight.numel() for weight in weights.values()),
        wall_seconds=trained - started,
        cpu_seconds=cpu_trained - cpu_started,
        verification=verify(unfinished, seed, size),
    )
    (unfinished / "README.md").write_text(model_card(report))
    if out.exists():
        out.rmdir()
    os.replace(unfinished, out)
    return report
