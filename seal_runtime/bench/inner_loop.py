"""The inner-loop benchmark: the same edits the published code's way, by hand, and in batches of K, side by side in one run.

An arm that would take long runs on fewer edits that stand for all (`spread`), and says how many. Warm-up is not counted; loading the
model is not counted; tokenising, making, training and writing each adapter is.
"""

import gc
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from seal_runtime.bench.batched_arm import run_batched
from seal_runtime.bench.edits import BenchEdit
from seal_runtime.bench.figures import arm_results, equal_answers
from seal_runtime.bench.jobs import make_jobs, spread
from seal_runtime.bench.machine import CLOCKS, device_name, measured_peak_tflops, stated_peak_tflops
from seal_runtime.bench.parity import measure_parity
from seal_runtime.bench.preparation import InnerLoopPlan, Prepared, fitted, prepare
from seal_runtime.bench.results import InnerLoopResult, Parity
from seal_runtime.bench.serial_arms import SERIAL_ARMS, ArmRun, run_serial
from seal_runtime.bench.work import size_of
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.device_capacity import capacity_on_device
from seal_runtime.engines.model_loading import load_model

_EDITS_A_SLOT = 8
_PACKAGES = ("torch", "transformers", "peft")

Notify = Callable[[str], None]
"""Told what is being done, for a person who waits."""


def run_inner_loop(plan: InnerLoopPlan, notify: Notify) -> InnerLoopResult:
    """Measure everything. Raises ConfigError or DataError for what cannot be measured, and the error that ended a training."""
    torch.set_num_threads(plan.threads)
    notify("loading the model and preparing the edits")
    prepared = prepare(plan)
    jobs, size = prepared.jobs, size_of(prepared.loaded.model)
    peak_tflops = measured_peak_tflops(prepared.loaded.device, prepared.loaded.model.dtype, CLOCKS[plan.clock])
    name = device_name(prepared.loaded.device)
    serial = _serial(plan, prepared, notify)
    batched, num_weights = _batched(plan, prepared, notify)
    equal, compared = equal_answers(serial.get("PEFT loop, no padding"), next(reversed(batched.values()), None))
    edits, described = prepared.edits, prepared.described
    del prepared
    gc.collect()
    parity, note = _parity(plan, edits, notify)
    return InnerLoopResult(
        model=plan.model,
        device=name,
        dtype=plan.dtype,
        clock=plan.clock,
        edits=described,
        num_edits=len(jobs),
        tokens_per_edit=sum(sum(job.lengths) for job in jobs) / len(jobs),
        steps_per_edit=sum(job.num_steps for job in jobs) / len(jobs),
        max_length=jobs[0].request.optim.max_length,
        pad_loss=plan.optim.pad_loss,
        rank=plan.lora.rank,
        targets=plan.lora.targets,
        epochs=plan.optim.epochs,
        adapter_weights=num_weights,
        measured_peak_tflops=peak_tflops,
        stated_peak_tflops=stated_peak_tflops(name),
        arms=arm_results(serial, batched, jobs, size, num_weights),
        parity=parity,
        parity_note=note,
        answers_equal=equal,
        answers_compared=compared,
        versions={package: importlib.metadata.version(package) for package in _PACKAGES},
    )


def _serial(plan: InnerLoopPlan, prepared: Prepared, notify: Notify) -> dict[str, ArmRun]:
    """Run the arms that train one adapter at a time. They come first: the engine of the batched arms hooks the model."""
    if not plan.with_reference:
        return {}
    jobs = spread(prepared.jobs, plan.num_serial_edits)
    runs: dict[str, ArmRun] = {}
    for arm in SERIAL_ARMS:
        notify(f"{arm}: {len(jobs)} edits")
        runs[arm] = run_serial(prepared.loaded, arm, jobs, plan.max_new_tokens, CLOCKS[plan.clock])
    return runs


def _batched(plan: InnerLoopPlan, prepared: Prepared, notify: Notify) -> tuple[dict[int, ArmRun], int]:
    """Run our arms; return them and the weights of one adapter. A K above the number of edits would stand idle and is left out."""
    capacity = capacity_on_device(
        prepared.loaded,
        plan.lora,
        num_slots=min(max(plan.slots), len(prepared.jobs)),
        max_tokens_per_step=plan.max_tokens_per_step,
        loss_chunk_tokens=plan.loss_chunk_tokens,
        activation_checkpointing=plan.activation_checkpointing,
    )
    trainer = BatchedAdaptEngine(prepared.loaded, **asdict(capacity), activation_checkpointing=plan.activation_checkpointing)
    runs: dict[int, ArmRun] = {}
    num_weights = 0
    for slots in sorted(set(plan.slots)):
        if slots > len(prepared.jobs):
            notify(f"K = {slots} left out: {len(prepared.jobs)} edits cannot fill it")
            continue
        jobs = spread(prepared.jobs, max(plan.num_serial_edits, _EDITS_A_SLOT * slots))
        notify(f"batched, K = {slots}: {len(jobs)} edits")
        trainer.limit_slots(slots)
        runs[slots], num_weights = run_batched(
            prepared.loaded,
            trainer,
            prepared.evaluator,
            jobs,
            num_slots=slots,
            max_new_tokens=plan.max_new_tokens,
            clock=CLOCKS[plan.clock],
        )
    return runs, num_weights


def _parity(plan: InnerLoopPlan, edits: Sequence[BenchEdit], notify: Notify) -> tuple[Parity | None, str]:
    """Compare in float32 on a fresh copy of the model. A machine without the memory for it says so instead."""
    if not (plan.with_parity and plan.with_reference):
        return None, "not asked for"
    if plan.optim.pad_loss.startswith("sampled"):
        return None, "PEFT and the Trainer have no sampled padding to compare with"
    notify("parity in float32")
    try:
        loaded = fitted(plan, load_model(plan.model, "float32", plan.device), edits)
        jobs = make_jobs(loaded, edits, plan.lora, plan.optim)
        return measure_parity(loaded, jobs, plan.max_tokens_per_step), ""
    except torch.OutOfMemoryError as error:
        return None, f"not measured: a float32 copy does not fit ({str(error).partition('.')[0]})"
