"""The other sides of the benchmark: one adapter at a time, as the published code does it and as one would write it by hand."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from peft import PeftModel

from seal_runtime.bench.jobs import BenchJob
from seal_runtime.bench.machine import Clock, peak_memory_bytes, reset_peak_memory, timed
from seal_runtime.bench.peft_answers import answer_with_generate
from seal_runtime.bench.peft_loop import release, train_peft_loop
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.reference import train_reference
from seal_runtime.errors import ConfigError

SerialArm = Literal["reference", "reference, no padding", "PEFT loop, no padding"]
SERIAL_ARMS: tuple[SerialArm, ...] = ("reference", "reference, no padding", "PEFT loop, no padding")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRun:
    """What was measured of one arm. `answers` are by edit; empty without answering."""

    jobs: tuple[BenchJob, ...]
    train_seconds: float
    answer_seconds: float
    peak_memory_bytes: int
    answers: dict[str, list[str]]


def run_serial(loaded: LoadedModel, arm: SerialArm, jobs: Sequence[BenchJob], max_new_tokens: int, clock: Clock) -> ArmRun:
    """Train and answer (0 tokens: train only) for one edit after the other. The model must not be hooked by an engine.

    The reference answers the questions a second time without the adapter for every edit, as the published code does.
    """
    need_trainer()
    with tempfile.TemporaryDirectory(prefix="seal-bench-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the Trainer's own
        one_edit = _loop if arm == "PEFT loop, no padding" else _reference(pad=arm == "reference")
        comparable = [job if arm == "reference" else job.without_padding() for job in jobs]
        one_edit(loaded, comparable[0].warm_up().into(Path(folder) / "warm-up"), max_new_tokens, clock)
        reset_peak_memory(loaded.device)
        train_seconds, answer_seconds, answers = 0.0, 0.0, {}
        for job in comparable:
            train, answer, texts = one_edit(loaded, job.into(Path(folder)), max_new_tokens, clock)
            train_seconds, answer_seconds = train_seconds + train, answer_seconds + answer
            answers[job.request.request_id] = texts
    return ArmRun(
        jobs=tuple(jobs),
        train_seconds=train_seconds,
        answer_seconds=answer_seconds,
        peak_memory_bytes=peak_memory_bytes(loaded.device),
        answers=answers,
    )


_OneEdit = Callable[[LoadedModel, BenchJob, int, Clock], tuple[float, float, list[str]]]


def _reference(pad: bool) -> _OneEdit:
    def one_edit(loaded: LoadedModel, job: BenchJob, max_new_tokens: int, clock: Clock) -> tuple[float, float, list[str]]:
        train = timed(lambda: train_reference(loaded, job.request, pad_to_max_length=pad), loaded.device, clock)
        if not max_new_tokens:
            return train, 0.0, []
        texts: list[str] = []

        def answer() -> None:
            answer_with_generate(loaded, loaded.model, job.prompts, max_new_tokens)
            with _adapted(loaded, job.request.output_dir) as model:
                texts.extend(answer_with_generate(loaded, model, job.prompts, max_new_tokens))

        return train, timed(answer, loaded.device, clock), texts

    return one_edit


def _loop(loaded: LoadedModel, job: BenchJob, max_new_tokens: int, clock: Clock) -> tuple[float, float, list[str]]:
    models: list[Any] = []
    train = timed(lambda: models.append(train_peft_loop(loaded, job.request)), loaded.device, clock)
    texts: list[str] = []
    answer = 0.0
    if max_new_tokens:
        answer = timed(lambda: texts.extend(answer_with_generate(loaded, models[0], job.prompts, max_new_tokens)), loaded.device, clock)
    release(loaded, models[0])
    return train, answer, texts


@contextmanager
def _adapted(loaded: LoadedModel, folder: Path) -> Iterator[Any]:
    model = PeftModel.from_pretrained(loaded.model, folder)
    try:
        yield model
    finally:
        release(loaded, model)


def need_trainer() -> None:
    """Raise ConfigError where Hugging Face's Trainer cannot work."""
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "the reference arms need Hugging Face's Trainer, which needs accelerate: pip install accelerate, or give --skip-reference"
        ) from error
