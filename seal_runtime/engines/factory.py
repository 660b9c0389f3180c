"""Make engines from plain arguments, as a topology names them. Torch is imported only when a real engine is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TypeVar

from protocol.jobs import LoraSpec
from seal_runtime.config.hub_reach import forgo_unreachable_hub
from seal_runtime.config.references import is_hub_name
from seal_runtime.engines.base import AdaptEngine, GenerationEngine
from seal_runtime.engines.capacity import SLOTS_ON_CPU
from seal_runtime.engines.fake import FakeAdaptEngine, FakeGenerationEngine
from seal_runtime.errors import ConfigError

_Engine = TypeVar("_Engine")
EngineArgs = Mapping[str, str | int | float | bool]

GENERATION_ENGINES = ("transformers", "vllm", "fake")
ADAPT_ENGINES = ("batched", "fake")


def make_adapt_engine(
    engine: str,
    *,
    model: str,
    dtype: str = "float32",
    device: str = "cpu",
    revision: str | None = None,
    chat: bool = False,
    parse_special_tokens: bool = False,
    num_slots: int | Literal["auto"] = 16,
    lora: LoraSpec | None = None,
    large_adapters: Sequence[LoraSpec] = (),
    max_tokens_per_step: int = 16_384,
    loss_chunk_tokens: int = 0,
    activation_checkpointing: bool = False,
    threads: int = 1,
    engine_args: EngineArgs | None = None,
) -> AdaptEngine:
    """Make a trainer's engine: `batched` or `fake`. Raises ConfigError for what cannot be had.

    `chat` puts prompts into the model's chat template; `parse_special_tokens` takes those that are written in texts for what they name.
    `num_slots` auto takes as many adapters of shape `lora` as fit into the GPU's free memory, and on CPU a fixed number.
    Each of `large_adapters` fits too, one at a time (policy updates).
    `threads` are torch's, for the whole process; with more than one, results on CPU are equal to rounding only (docs of PackedModel).
    `max_tokens_per_step` bounds the tokens, and so the memory, of one packed pass; on a GPU it is lowered to what fits. For
    `loss_chunk_tokens` (0: chosen) and `activation_checkpointing` see TrainerConfig.
    """
    args = dict(engine_args or {})
    slots = 0 if num_slots == "auto" else num_slots
    if engine == "fake":
        return _call(FakeAdaptEngine, engine, num_slots=slots or SLOTS_ON_CPU, **args)
    if engine != "batched":
        raise ConfigError(f"expected a trainer's engine to be one of {', '.join(ADAPT_ENGINES)}, got {engine!r}")
    _look_for_hub(model)
    from seal_runtime.engines.adapt import BatchedAdaptEngine
    from seal_runtime.engines.chat_prompts import spoken_to
    from seal_runtime.engines.device_capacity import capacity_on_device
    from seal_runtime.engines.model_loading import load_model

    _use_threads(threads)
    loaded = spoken_to(load_model(model, dtype, device, revision), chat=chat, parse_special_tokens=parse_special_tokens)
    capacity = capacity_on_device(
        loaded,
        lora,
        large=large_adapters,
        num_slots=slots,
        max_tokens_per_step=max_tokens_per_step,
        loss_chunk_tokens=loss_chunk_tokens,
        activation_checkpointing=activation_checkpointing,
    )
    return _call(
        lambda **kwargs: BatchedAdaptEngine(loaded, **asdict(capacity), **kwargs),
        engine,
        activation_checkpointing=activation_checkpointing,
        **args,
    )


def make_generation_engine(
    engine: str,
    *,
    model: str,
    dtype: str = "float32",
    device: str = "cpu",
    revision: str | None = None,
    chat: bool = False,
    parse_special_tokens: bool = False,
    max_batch_rows: int = 512,
    threads: int = 1,
    mode: Literal["auto", "in-process", "async"] = "auto",
    engine_args: EngineArgs | None = None,
) -> GenerationEngine:
    """Make a proposer's or an evaluator's engine: `transformers`, `vllm` or `fake`. Raises ConfigError for what cannot be had.

    `chat` puts prompts into the model's chat template; `parse_special_tokens` takes those that are written in texts for what they name.
    `mode` is for vllm: stepped on this thread, or in a process of its own; `auto` is the latter on a GPU.
    """
    args = dict(engine_args or {})
    max_batch_rows = int(args.pop("max_batch_rows", max_batch_rows)) if engine != "vllm" else max_batch_rows
    if engine == "fake":
        return _call(FakeGenerationEngine, engine, max_batch_rows=max_batch_rows, **args)
    _look_for_hub(model)
    if engine == "vllm":
        from seal_runtime.engines.vllm_generation import VllmGenerationEngine

        if revision is not None:
            args.setdefault("revision", revision)
        return VllmGenerationEngine(
            model,
            dtype=dtype,
            device=device,
            max_batch_rows=max_batch_rows,
            mode=mode,
            chat=chat,
            parse_special_tokens=parse_special_tokens,
            engine_args=args,
        )
    if engine != "transformers":
        raise ConfigError(f"expected a generation engine to be one of {', '.join(GENERATION_ENGINES)}, got {engine!r}")
    from seal_runtime.engines.chat_prompts import spoken_to
    from seal_runtime.engines.model_loading import load_model
    from seal_runtime.engines.transformers_generation import TransformersGenerationEngine

    _use_threads(threads)
    loaded = spoken_to(load_model(model, dtype, device, revision), chat=chat, parse_special_tokens=parse_special_tokens)
    return _call(lambda **kwargs: TransformersGenerationEngine(loaded, **kwargs), engine, max_batch_rows=max_batch_rows, **args)


def _look_for_hub(model: str) -> None:
    """Before the hub's libraries are imported: see whether the hub is there, if the model may come from it."""
    if is_hub_name(model) and not Path(model).is_dir():
        forgo_unreachable_hub()


def _call(make: Callable[..., _Engine], engine: str, **args: str | int | float | bool) -> _Engine:
    try:
        return make(**args)
    except TypeError as error:
        raise ConfigError(f"engine {engine!r} does not take these engine_args: {error}") from error


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
