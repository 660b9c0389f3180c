"""Self-edits scored an hour, end to end, the published code's way and ours, on the same edits, model and machine.

The reference runs on a few edits that stand for all (`spread`); our arms run all of them, one arm for each mode of `pad_loss`, so that
no speed-up is claimed that is other arithmetic. Not counted: loading the model, warming up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from protocol.jobs import Question
from seal_runtime.bench.jobs import BenchJob, make_jobs, spread
from seal_runtime.bench.machine import CLOCKS, device_name, timed
from seal_runtime.bench.preparation import InnerLoopPlan, Prepared, prepare
from seal_runtime.bench.reference_run_batched import BatchedScoring
from seal_runtime.bench.reference_run_grader import CountedGrader
from seal_runtime.bench.reference_run_results import ReferenceRunResult, ScoringArm
from seal_runtime.bench.reference_run_serial import SerialScores, score_serially
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.pad_loss import parse_pad_loss

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRunPlan:
    """What to measure: the edits and settings of `inner_loop` (the first of its slots is K), the modes of our arms, and how much longer
    each grade shall take, as a judge behind a network does.
    """

    inner_loop: InnerLoopPlan
    pad_losses: tuple[str, ...]
    grader_latency_seconds: float


def run_reference(plan: ReferenceRunPlan, notify: Notify) -> ReferenceRunResult:
    """Measure everything. Raises ConfigError or DataError for what cannot be measured, and the error that ended a training."""
    inner = plan.inner_loop
    torch.set_num_threads(inner.threads)
    for mode in plan.pad_losses:
        parse_pad_loss(mode)
    notify("loading the model and preparing the edits")
    prepared = prepare(inner)
    questions = {edit.edit_id: edit.questions for edit in prepared.edits}
    grade, clock = CountedGrader(plan.grader_latency_seconds), CLOCKS[inner.clock]
    few = spread(prepared.jobs, inner.num_serial_edits)
    notify(f"reference: {len(few)} edits")
    serial = score_serially(prepared.loaded, few, questions, grade, max_new_tokens=inner.max_new_tokens, clock=clock)
    reference = _serial_arm(serial, grade.num_calls, few, prepared.jobs)
    ours = _our_arms(plan, prepared, questions, reference.seconds, notify)
    jobs, optim = prepared.jobs, prepared.jobs[0].request.optim
    return ReferenceRunResult(
        model=inner.model,
        device=device_name(prepared.loaded.device),
        dtype=inner.dtype,
        clock=inner.clock,
        edits=prepared.described,
        num_edits=len(jobs),
        tokens_per_edit=sum(sum(job.lengths) for job in jobs) / len(jobs),
        steps_per_edit=sum(job.num_steps for job in jobs) / len(jobs),
        questions_per_edit=sum(len(job.prompts) for job in jobs) / len(jobs),
        epochs=optim.epochs,
        rank=inner.lora.rank,
        max_length=optim.max_length,
        num_slots=inner.slots[0],
        grader_latency_seconds=plan.grader_latency_seconds,
        arms=(reference, *ours),
    )


def _our_arms(
    plan: ReferenceRunPlan,
    prepared: Prepared,
    questions: dict[str, tuple[Question, ...]],
    reference_seconds: float,
    notify: Notify,
) -> list[ScoringArm]:
    """Run our arms after the reference: the engine hooks the model."""
    inner, evaluator = plan.inner_loop, prepared.evaluator
    assert evaluator is not None, "answering is part of this benchmark"
    num_slots, arms = inner.slots[0], []
    trainer = BatchedAdaptEngine(prepared.loaded, num_slots=num_slots, max_tokens_per_step=inner.max_tokens_per_step)
    for mode in plan.pad_losses:
        notify(f"ours, pad_loss {mode}: {len(prepared.jobs)} edits, K = {num_slots}")
        optim = replace(prepared.jobs[0].request.optim, pad_loss=mode)
        jobs = make_jobs(prepared.loaded, prepared.edits, inner.lora, optim)
        grade, no_wait = CountedGrader(plan.grader_latency_seconds), CountedGrader(0.0)
        warm_up, scoring = (
            BatchedScoring(trainer, evaluator, questions, grader, num_slots=num_slots, max_new_tokens=inner.max_new_tokens)
            for grader in (no_wait, grade)
        )
        warm_up.run([job.warm_up() for job in jobs[:num_slots]])
        seconds = timed(partial(scoring.run, jobs), prepared.loaded.device, CLOCKS[inner.clock]) / len(jobs)
        arms.append(_our_arm(mode, scoring.grades, grade.num_calls / len(jobs), len(jobs), seconds, reference_seconds))
    return arms


def _our_arm(mode: str, grades: Sequence[float], calls: float, num_edits: int, seconds: float, reference_seconds: float) -> ScoringArm:
    return ScoringArm(
        name=f"ours, {mode}",
        pad_loss=mode,
        num_measured=num_edits,
        seconds=seconds,
        train_seconds=None,
        answer_seconds=None,
        grade_seconds=None,
        grader_calls=calls,
        accuracy=_mean(grades),
        times_reference=reference_seconds / seconds,
    )


def _serial_arm(scores: SerialScores, num_calls: int, measured: Sequence[BenchJob], jobs: Sequence[BenchJob]) -> ScoringArm:
    """Return the reference's figures for a mean edit of all jobs."""
    by_steps = sum(job.num_steps for job in jobs) / sum(job.num_steps for job in measured) / len(jobs)
    by_questions = sum(len(job.prompts) for job in jobs) / sum(len(job.prompts) for job in measured) / len(jobs)
    train, answer, grade = scores.train_seconds * by_steps, scores.answer_seconds * by_questions, scores.grade_seconds * by_questions
    return ScoringArm(
        name="reference",
        pad_loss="full",
        num_measured=len(measured),
        seconds=train + answer + grade,
        train_seconds=train,
        answer_seconds=answer,
        grade_seconds=grade,
        grader_calls=num_calls * by_questions,
        accuracy=_mean(scores.grades),
        times_reference=1.0,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
