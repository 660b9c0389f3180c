"""The generation benchmark: the same questions answered by transformers and by vLLM, for 1, 8 or 32 adapters at once, side by side.

The engines take turns within each repeat, so that a busy machine slows all of them; figures are medians. Every measurement gets adapters
that no engine has seen (equal weights under new hashes), as every evaluation of a run does. Warm-up and loading models are not counted.
"""

import gc
import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from protocol.jobs import LoraSpec, OptimSpec, SamplingSpec
from seal_runtime.bench.edits import BenchEdit, edits_of_world
from seal_runtime.bench.generation_adapters import (
    AdaptedEdit,
    adapted_edits,
    draw_adapters,
    train_adapters,
    unseen_copies,
    write_random_model,
)
from seal_runtime.bench.generation_agreement import greedy_agreement
from seal_runtime.bench.generation_arms import Answered, Sampled, time_answers, time_peft_answers, time_samples
from seal_runtime.bench.generation_figures import answer_arms, sample_arms
from seal_runtime.bench.generation_results import PEFT_GENERATE, Agreement, GenerationResult
from seal_runtime.bench.machine import CLOCKS, ClockName, device_name, measured_peak_tflops
from seal_runtime.engines.base import GenerationEngine
from seal_runtime.engines.factory import make_generation_engine
from seal_runtime.engines.model_loading import LoadedModel, load_model
from seal_runtime.errors import ConfigError
from seal_runtime.tasks.base import Instance
from seal_runtime.tasks.fictional.task import FictionalWorldTask

ENGINES = ("transformers", "vllm")
VLLM_MISSING = "vllm is not installed: pip install 'seal-runtime[vllm]' on a GPU machine, make test-vllm for the CPU build (docs/vllm.md)"
_CONTEXTS = 8
_PACKAGES = ("torch", "transformers", "peft", "vllm")
_VLLM_GPU_SHARE = 0.4

Notify = Callable[[str], None]
"""Told what is being done, for a person who waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPlan:
    """What to measure. `num_questions` None asks all questions of a passage; `vllm_args` are passed to vLLM over our defaults."""

    model: str
    device: str
    dtype: str
    threads: int
    clock: ClockName
    engines: tuple[str, ...]
    adapters: tuple[int, ...]
    num_questions: int | None
    max_new_tokens: int
    repeats: int
    lora: LoraSpec
    optim: OptimSpec
    max_tokens_per_step: int
    sampling: SamplingSpec
    vllm_args: Mapping[str, str | int | float | bool]
    with_reference: bool


@dataclass(slots=True, kw_only=True)
class _Measured:
    """What came of the repeats. Answers are by engine and number of adapters, samples by engine."""

    answered: dict[tuple[str, int], list[Answered]]
    sampled: dict[str, list[Sampled]]


def run_generation(plan: GenerationPlan, notify: Notify) -> GenerationResult:
    """Measure everything. Raises ConfigError for what cannot be measured, and the error that ended a request."""
    names, notes = usable_engines(plan.engines)
    torch.set_num_threads(plan.threads)
    edits = edits_of_world(max(plan.adapters))
    with tempfile.TemporaryDirectory(prefix="seal-bench-") as name:
        folder = Path(name)
        is_random = plan.model.startswith("random:")
        model = write_random_model(plan.model, plan.dtype, edits, folder / "model") if is_random else plan.model
        notify("starting " + " and ".join(names))
        engines = {engine: _start(plan, engine, model) for engine in names}
        try:
            notify(f"{'drawing' if is_random else 'training'} {len(edits)} adapters")
            _make_adapters(plan, model, edits, folder / "adapters")
            adapted = adapted_edits(edits, folder / "adapters", plan.num_questions)
            loaded = load_model(model, plan.dtype, plan.device)
            measured = _repeat(plan, engines, loaded, adapted, folder, notify)
            agreement = _agreement(plan, loaded, adapted, measured)
        finally:
            for engine in engines.values():
                engine.close()
        peak_tflops = measured_peak_tflops(loaded.device, loaded.model.dtype, CLOCKS[plan.clock])
    num_questions = sum(len(edit.prompts) for edit in adapted)
    return GenerationResult(
        model=plan.model,
        device=device_name(loaded.device),
        dtype=plan.dtype,
        clock=plan.clock,
        measured_peak_tflops=peak_tflops,
        adapters="drawn at random" if is_random else "trained on scripted edits about the built-in world",
        num_edits=len(adapted),
        num_questions=num_questions,
        rank=plan.lora.rank,
        targets=plan.lora.targets,
        max_new_tokens=plan.max_new_tokens,
        repeats=plan.repeats,
        answering=answer_arms(measured.answered, len(adapted), num_questions),
        sampling=sample_arms(measured.sampled),
        agreement=agreement,
        notes=notes,
        versions=_versions(),
    )


def usable_engines(asked: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the engines that are there, and notes on those that are not. Raises ConfigError for a wrong name or when none is left."""
    unknown = [name for name in asked if name not in ENGINES]
    if unknown or not asked:
        raise ConfigError(f"--engines: expected one or more of {','.join(ENGINES)}, got {','.join(asked)!r}")
    wanted = tuple(name for name in ENGINES if name in asked)
    if "vllm" not in wanted or importlib.util.find_spec("vllm") is not None:
        return wanted, ()
    left = tuple(name for name in wanted if name != "vllm")
    if not left:
        raise ConfigError(VLLM_MISSING)
    return left, (VLLM_MISSING,)


def _start(plan: GenerationPlan, engine: str, model: str) -> GenerationEngine:
    args: dict[str, str | int | float | bool] = {}
    if engine == "vllm":
        args = {"max_loras": max(plan.adapters), "max_lora_rank": plan.lora.rank}
        args |= {"gpu_memory_utilization": _VLLM_GPU_SHARE} if plan.device.startswith("cuda") else {}
        args |= plan.vllm_args
    return make_generation_engine(engine, model=model, dtype=plan.dtype, device=plan.device, threads=plan.threads, engine_args=args)


def _make_adapters(plan: GenerationPlan, model: str, edits: Sequence[BenchEdit], folder: Path) -> None:
    """Write one adapter for each edit, with a model that is gone afterwards."""
    loaded = load_model(model, plan.dtype, plan.device)
    if plan.model.startswith("random:"):
        draw_adapters(loaded, edits, plan.lora, folder)
    else:
        train_adapters(loaded, edits, plan.lora, plan.optim, plan.max_tokens_per_step, folder)
    del loaded
    gc.collect()


def _repeat(
    plan: GenerationPlan,
    engines: Mapping[str, GenerationEngine],
    loaded: LoadedModel,
    edits: Sequence[AdaptedEdit],
    folder: Path,
    notify: Notify,
) -> _Measured:
    """Measure everything `plan.repeats` times, after one time that does not count. The engines change places from repeat to repeat."""
    clock, limit = CLOCKS[plan.clock], plan.max_new_tokens
    measured = _Measured(answered={}, sampled={name: [] for name in engines})
    for repeat in range(plan.repeats + 1):
        notify(f"repeat {repeat} of {plan.repeats}" if repeat else "warming up")
        into = measured if repeat else _Measured(answered={}, sampled={})
        turns = list(engines)[repeat % len(engines) :] + list(engines)[: repeat % len(engines)]
        contexts = _contexts(repeat)
        for name in turns:
            into.sampled.setdefault(name, []).append(time_samples(engines[name], contexts, plan.sampling, loaded.device, clock))
        if plan.with_reference:
            into.answered.setdefault((PEFT_GENERATE, 1), []).append(time_peft_answers(loaded, edits, limit, clock))
        for num_adapters in sorted(set(plan.adapters)):
            with tempfile.TemporaryDirectory(prefix="copies-", dir=folder) as copies:
                unseen = unseen_copies(edits, Path(copies))
                for name in turns:
                    answered = time_answers(engines[name], unseen, num_adapters, limit, loaded.device, clock)
                    into.answered.setdefault((name, num_adapters), []).append(answered)
    return measured


def _contexts(repeat: int) -> Sequence[Instance]:
    """Return other passages for each repeat, so that no prompt is in a cache already."""
    instances = FictionalWorldTask().instances("reward")
    start = repeat * _CONTEXTS % len(instances)
    return instances[start : start + _CONTEXTS]


def _agreement(plan: GenerationPlan, loaded: LoadedModel, edits: Sequence[AdaptedEdit], measured: _Measured) -> Agreement | None:
    """Compare vLLM with transformers over all numbers of adapters, in the last repeat."""
    numbers = [number for number in sorted(set(plan.adapters)) if all((name, number) in measured.answered for name in ENGINES)]
    if not numbers:
        return None
    requests = [edit.request(plan.max_new_tokens) for edit in edits]
    found = [
        greedy_agreement(
            loaded, requests, measured.answered["vllm", number][-1].outputs, measured.answered["transformers", number][-1].outputs
        )
        for number in numbers
    ]
    return Agreement(
        num_compared=sum(part.num_compared for part in found),
        num_equal=sum(part.num_equal for part in found),
        largest_gap=max(part.largest_gap for part in found),
    )


def _versions() -> dict[str, str]:
    """Return the versions of what is installed, by distribution: vLLM's CPU build is one of its own."""
    distributions = importlib.metadata.packages_distributions()
    return {name: importlib.metadata.version(name) for package in _PACKAGES for name in distributions.get(package, [])[:1]}
