"""The published schedule end to end: train one adapter, answer without it and with it, grade every answer, one call after the other."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peft import PeftModel

from protocol.jobs import Question
from seal_runtime.bench.jobs import BenchJob
from seal_runtime.bench.machine import Clock, timed
from seal_runtime.bench.peft_answers import answer_with_generate
from seal_runtime.bench.peft_loop import release
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.reference import train_reference

Grade = Callable[[Question, str], float]


@dataclass(slots=True, kw_only=True)
class SerialScores:
    """Seconds of each stage over all measured edits, and the grades of the adapters' answers."""

    train_seconds: float = 0.0
    answer_seconds: float = 0.0
    grade_seconds: float = 0.0
    grades: list[float]


def score_serially(
    loaded: LoadedModel,
    jobs: Sequence[BenchJob],
    questions: dict[str, tuple[Question, ...]],
    grade: Grade,
    *,
    max_new_tokens: int,
    clock: Clock,
) -> SerialScores:
    """Score one edit after the other, as the published server does. The model must not be hooked by an engine."""
    scores = SerialScores(grades=[])
    with tempfile.TemporaryDirectory(prefix="seal-bench-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the Trainer's own
        train_reference(loaded, jobs[0].warm_up().into(Path(folder) / "warm-up").request, pad_to_max_length=True)
        for job in (job.into(Path(folder)) for job in jobs):
            _score_one(loaded, job, questions[job.request.request_id], grade, max_new_tokens, clock, scores)
    return scores


def _score_one(
    loaded: LoadedModel,
    job: BenchJob,
    questions: tuple[Question, ...],
    grade: Grade,
    max_new_tokens: int,
    clock: Clock,
    scores: SerialScores,
) -> None:
    baseline: list[str] = []
    adapted: list[str] = []

    def answer() -> None:
        baseline.extend(answer_with_generate(loaded, loaded.model, job.prompts, max_new_tokens))
        model = PeftModel.from_pretrained(loaded.model, job.request.output_dir)
        adapted.extend(answer_with_generate(loaded, model, job.prompts, max_new_tokens))
        release(loaded, model)

    def grade_both() -> None:
        for texts, is_adapted in ((baseline, False), (adapted, True)):
            for question, text in zip(questions, texts, strict=True):
                verdict = grade(question, text)
                if is_adapted:
                    scores.grades.append(verdict)

    scores.train_seconds += timed(lambda: train_reference(loaded, job.request, pad_to_max_length=True), loaded.device, clock)
    scores.answer_seconds += timed(answer, loaded.device, clock)
    scores.grade_seconds += timed(grade_both, loaded.device, clock)
