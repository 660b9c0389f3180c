"""Our side of the benchmark: the batched engines, at most K adapters under way at once."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from seal_runtime.bench.answering import answer_all
from seal_runtime.bench.jobs import BenchJob, by_work
from seal_runtime.bench.machine import Clock, peak_memory_bytes, reset_peak_memory, timed
from seal_runtime.bench.serial_arms import ArmRun
from seal_runtime.engines.adapter_files import read_adapter
from seal_runtime.engines.base import AdaptEngine, AnswerRequest, GenerationEngine, RequestFailed
from seal_runtime.engines.model_loading import LoadedModel

_JOBS_PER_SLOT = 2


def run_batched(
    loaded: LoadedModel,
    trainer: AdaptEngine,
    evaluator: GenerationEngine | None,
    jobs: Sequence[BenchJob],
    *,
    num_slots: int,
    max_new_tokens: int,
    clock: Clock,
) -> tuple[ArmRun, int]:
    """Train all jobs on an engine of K slots that are refilled as jobs end, then answer for all adapters, K at a time. Warmed up before.

    Returns what was measured and the number of weights of an adapter.
    """
    answers: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="seal-bench-") as folder:
        here = [job.into(Path(folder)) for job in by_work(jobs)]
        first = [job.warm_up().into(Path(folder) / "warm-up") for job in here[:num_slots]]
        train_all(trainer, first, num_slots)
        if evaluator is not None:
            _answer(evaluator, first, num_slots, max_new_tokens)
        reset_peak_memory(loaded.device)
        train = timed(lambda: train_all(trainer, here, num_slots), loaded.device, clock)
        answer = 0.0
        if evaluator is not None:
            answer = timed(lambda: answers.update(_answer(evaluator, here, num_slots, max_new_tokens)), loaded.device, clock)
        peak = peak_memory_bytes(loaded.device)
        weights = sum(a.numel() + b.numel() for a, b in read_adapter(here[0].request.output_dir).factors.values())
    run = ArmRun(jobs=tuple(jobs), train_seconds=train, answer_seconds=answer, peak_memory_bytes=peak, answers=answers)
    return run, weights


def train_all(engine: AdaptEngine, jobs: Sequence[BenchJob], num_slots: int) -> None:
    """Train all jobs on an engine of `num_slots`, with as many submitted ahead as a trainer has. Raises what ended a job."""
    waiting = list(jobs)
    while waiting or engine.num_pending:
        while waiting and engine.num_pending < _JOBS_PER_SLOT * num_slots:
            engine.submit(waiting.pop(0).request)
        for output in engine.step():
            if isinstance(output, RequestFailed):
                raise output.error


def _answer(engine: GenerationEngine, jobs: Sequence[BenchJob], num_slots: int, max_new_tokens: int) -> dict[str, list[str]]:
    """Answer the questions of every adapter, at most `num_slots` adapters at once. Raises what ended a request."""
    requests = [
        AnswerRequest(
            request_id=job.request.request_id,
            policy=job.request.policy,
            adapter=job.request.output_dir,
            prompts=job.prompts,
            max_new_tokens=max_new_tokens,
        )
        for job in jobs
    ]
    return {name: list(output.answers) for name, output in answer_all(engine, requests, num_slots).items()}
