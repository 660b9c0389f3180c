"""From what was measured of each arm to figures for an edit of the whole set. Pure."""

from collections.abc import Mapping, Sequence

from seal_runtime.bench.jobs import BenchJob
from seal_runtime.bench.results import ArmResult
from seal_runtime.bench.serial_arms import ArmRun
from seal_runtime.bench.work import ModelSize

_SECONDS_PER_HOUR = 3600.0


def arm_results(
    serial: Mapping[str, ArmRun], batched: Mapping[int, ArmRun], jobs: Sequence[BenchJob], size: ModelSize, num_adapter_weights: int
) -> tuple[ArmResult, ...]:
    """Return the figures of all arms, serial ones first. `jobs` are all edits, of which each arm measured some."""
    named: list[tuple[str, int | None, ArmRun]] = [(name, None, run) for name, run in serial.items()]
    named += [(f"batched, K = {slots}", slots, run) for slots, run in batched.items()]
    totals = {name: sum(seconds_per_edit(run, jobs)) for name, _, run in named}
    reference, unpadded = totals.get("reference"), totals.get("PEFT loop, no padding")
    return tuple(
        _figures(name, slots, run, jobs, size, num_adapter_weights, reference, unpadded, padded=name == "reference")
        for name, slots, run in named
    )


def seconds_per_edit(run: ArmRun, jobs: Sequence[BenchJob]) -> tuple[float, float]:
    """Return the seconds of training and of answering an edit, scaled from the measured edits to all by steps and by questions."""
    steps = sum(job.num_steps for job in jobs) / sum(job.num_steps for job in run.jobs)
    asked = sum(len(job.prompts) for job in run.jobs)
    questions = sum(len(job.prompts) for job in jobs) / asked if asked else 0.0
    return run.train_seconds * steps / len(jobs), run.answer_seconds * questions / len(jobs)


def equal_answers(one: ArmRun | None, other: ArmRun | None) -> tuple[int, int]:
    """Return how many answers of two arms are equal, and how many both gave."""
    if one is None or other is None:
        return 0, 0
    pairs = [
        pair for edit, texts in one.answers.items() if edit in other.answers for pair in zip(texts, other.answers[edit], strict=bool(texts))
    ]
    return sum(mine == theirs for mine, theirs in pairs), len(pairs)


def _figures(
    name: str,
    num_slots: int | None,
    run: ArmRun,
    jobs: Sequence[BenchJob],
    size: ModelSize,
    num_adapter_weights: int,
    reference: float | None,
    unpadded: float | None,
    *,
    padded: bool,
) -> ArmResult:
    train, answer = seconds_per_edit(run, jobs)
    useful = sum(_useful_flops(job, size, num_adapter_weights) for job in run.jobs)
    executed = sum(_padded_flops(job, size, num_adapter_weights) for job in run.jobs) if padded else useful
    return ArmResult(
        name=name,
        num_slots=num_slots,
        num_measured=len(run.jobs),
        train_seconds=train,
        answer_seconds=answer,
        edits_per_hour=_SECONDS_PER_HOUR / (train + answer),
        tokens_per_second=sum(job.num_tokens for job in run.jobs) / run.train_seconds,
        useful_tflops=useful / run.train_seconds / 1e12,
        executed_tflops=executed / run.train_seconds / 1e12,
        peak_memory_bytes=run.peak_memory_bytes,
        times_reference=reference / (train + answer) if reference is not None else None,
        times_unpadded=unpadded / (train + answer) if unpadded is not None else None,
    )


def _useful_flops(job: BenchJob, size: ModelSize, num_adapter_weights: int) -> float:
    return size.training_flops(job.lengths, num_adapter_weights) * job.num_tokens / sum(job.lengths)


def _padded_flops(job: BenchJob, size: ModelSize, num_adapter_weights: int) -> float:
    max_length = job.request.optim.max_length
    return size.training_flops([max_length] * (job.num_padded_tokens // max_length), num_adapter_weights)
