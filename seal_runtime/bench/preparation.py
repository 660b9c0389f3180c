"""What the inner-loop benchmark is asked for, and the models and edits that it works on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.jobs import LoraSpec, OptimSpec, SamplingSpec
from seal_runtime.bench.edits import BenchEdit, edits_from_file, edits_of_world, own_edits
from seal_runtime.bench.jobs import BenchJob, make_jobs
from seal_runtime.bench.machine import ClockName
from seal_runtime.bench.stand_in_tokenizer import with_stand_in_tokenizer
from seal_runtime.engines.base import GenerationEngine
from seal_runtime.engines.model_loading import LoadedModel, load_model
from seal_runtime.engines.transformers_generation import TransformersGenerationEngine

_MAX_BATCH_ROWS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoopPlan:
    """What to measure.

    `max_new_tokens` 0 leaves answering out; `edits_file` None takes edits about the built-in world, written by the model itself when
    it is a built-in one (`sampling`). The reference pads to `optim.max_length`, cut to the model's context. `loss_chunk_tokens` 0: the
    engine chooses.
    """

    model: str
    device: str
    dtype: str
    threads: int
    clock: ClockName
    edits_file: Path | None
    num_edits: int
    num_serial_edits: int
    slots: tuple[int, ...]
    lora: LoraSpec
    optim: OptimSpec
    sampling: SamplingSpec
    max_new_tokens: int
    max_tokens_per_step: int
    loss_chunk_tokens: int
    activation_checkpointing: bool
    with_reference: bool
    with_parity: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A model that no engine has hooked yet, an evaluator with a copy of its own (None without answering), and the jobs."""

    loaded: LoadedModel
    evaluator: GenerationEngine | None
    edits: Sequence[BenchEdit]
    described: str
    jobs: Sequence[BenchJob]


def prepare(plan: InnerLoopPlan) -> Prepared:
    """Load the models and collect the edits. Raises ConfigError or DataError."""
    loaded = load_model(plan.model, plan.dtype, plan.device)
    evaluator: GenerationEngine | None = None
    if plan.edits_file is not None:
        edits, described = edits_from_file(plan.edits_file, plan.num_edits), plan.edits_file.name
    elif plan.model.startswith("builtin:"):
        evaluator = _evaluator(load_model(plan.model, plan.dtype, plan.device))
        edits, described = own_edits(evaluator, plan.sampling, plan.num_edits), "the model's own, about the built-in world"
    else:
        edits, described = edits_of_world(plan.num_edits), "scripted, about the built-in world, seven styles"
    loaded = fitted(plan, loaded, edits)
    if not plan.max_new_tokens:
        evaluator = None
    elif evaluator is None:
        evaluator = _evaluator(fitted(plan, load_model(plan.model, plan.dtype, plan.device), edits))
    optim = replace(plan.optim, max_length=min(plan.optim.max_length, loaded.context_length))
    return Prepared(loaded=loaded, evaluator=evaluator, edits=edits, described=described, jobs=make_jobs(loaded, edits, plan.lora, optim))


def fitted(plan: InnerLoopPlan, loaded: LoadedModel, edits: Sequence[BenchEdit]) -> LoadedModel:
    """Return the model with a tokenizer: its own, or a stand-in for a random one."""
    return with_stand_in_tokenizer(loaded, edits) if plan.model.startswith("random:") else loaded


def _evaluator(loaded: LoadedModel) -> GenerationEngine:
    return TransformersGenerationEngine(loaded, max_batch_rows=_MAX_BATCH_ROWS)
