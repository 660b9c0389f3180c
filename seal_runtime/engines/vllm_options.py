"""How vLLM is started, in this process or in one of its own: environment, arguments, and errors that say what to do.

What a topology gives as `engine_args` is passed on verbatim; everything else has a default here. Only `max_lora_rank` is changed:
vLLM allows few values, so it is rounded up to the next of them.
"""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from seal_runtime.engines import vllm_child
from seal_runtime.engines.model_loading import resolve_model_path
from seal_runtime.engines.vllm_async import AsyncDriver
from seal_runtime.engines.vllm_driver import InProcessDriver, VllmDriver
from seal_runtime.errors import ConfigError

EngineArgs = Mapping[str, str | int | float | bool]
Mode = Literal["auto", "in-process", "async"]

ALLOWED_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
PROBE_LOGPROBS = 20
_SLOTS = 8
_CPU_CACHE_BYTES = 256 << 20
_CPU_BLOCK_TOKENS = 32
_CACHED_ADAPTERS_PER_SLOT = 4


def start_vllm(
    model: str, *, dtype: str, device: str, max_batch_rows: int, mode: Mode, engine_args: EngineArgs
) -> tuple[VllmDriver, dict[str, Any]]:
    """Return a running vLLM and the arguments it got. Raises ConfigError."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError("engine 'vllm' needs the vllm package: pip install 'seal-runtime[vllm]', or set engine: transformers")
    if model.startswith("random:"):
        raise ConfigError(f"engine 'vllm' loads models from folders and the hub, not {model!r}: set engine: transformers")
    path = resolve_model_path(model)
    arguments = complete_args(engine_args, dtype=dtype, device=device, max_batch_rows=max_batch_rows)
    is_async = mode == "async" or (mode == "auto" and device != "cpu")
    if (is_async or _num_workers(arguments) > 1) and not vllm_child.is_installed():
        raise ConfigError(
            "vLLM's processes would outlive a killed agent, because seal-runtime is not installed in this environment: "
            "`pip install --no-deps -e .` in its folder, or engine_mode: in-process"
        )
    _set_environment(path, device)
    try:
        return _make_driver(path, arguments, is_async=is_async), arguments
    except (TypeError, ValueError, OSError, RuntimeError, AssertionError) as error:
        raise cannot_serve(model, engine_args, error) from error


def cannot_serve(model: str, engine_args: EngineArgs, error: Exception) -> ConfigError:
    """Return the error that says what to do when vLLM does not come up."""
    return ConfigError(f"vLLM cannot serve {model!r}: {_advice(error)} (engine_args {dict(engine_args)}; {_summary(error)})")


def _make_driver(path: str, arguments: dict[str, Any], *, is_async: bool) -> VllmDriver:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.engine.arg_utils import EngineArgs as VllmArgs

    if is_async:
        from vllm.v1.engine.async_llm import AsyncLLM

        return AsyncDriver(lambda: AsyncLLM.from_engine_args(AsyncEngineArgs(model=path, **arguments)))
    from vllm.v1.engine.llm_engine import LLMEngine

    vllm_child.announce(None)
    return InProcessDriver(LLMEngine.from_engine_args(VllmArgs(model=path, **arguments)))


def _num_workers(arguments: Mapping[str, Any]) -> int:
    return int(arguments.get("tensor_parallel_size", 1)) * int(arguments.get("pipeline_parallel_size", 1))


def complete_args(engine_args: EngineArgs, *, dtype: str, device: str, max_batch_rows: int) -> dict[str, Any]:
    """Return the given arguments with our defaults for the rest. Raises ConfigError for a rank that vLLM cannot have."""
    slots = int(engine_args.get("max_loras", _SLOTS))
    arguments: dict[str, Any] = {
        "dtype": dtype,
        "seed": 0,
        "max_num_seqs": max_batch_rows,
        "enable_lora": True,
        "max_loras": slots,
        "max_cpu_loras": (slots + 1) * _CACHED_ADAPTERS_PER_SLOT,
        "max_lora_rank": 32 if device == "cpu" else 128,
        "max_logprobs": PROBE_LOGPROBS,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }
    if device == "cpu":
        # Without a bound vLLM takes nearly all of the machine; blocks of its default size (128) leave short prompts uncached.
        arguments |= {"enforce_eager": True, "kv_cache_memory_bytes": _CPU_CACHE_BYTES, "block_size": _CPU_BLOCK_TOKENS}
    arguments |= engine_args
    arguments["max_lora_rank"] = allowed_rank(int(arguments["max_lora_rank"]))
    if device == "cpu" and arguments["enable_lora"]:
        arguments["max_loras"] = slots + 1  # one for the adapter of zeros (vllm_generation)
    return arguments


def allowed_rank(rank: int) -> int:
    """Return the smallest rank of vLLM's that holds `rank`. Raises ConfigError."""
    fitting = [allowed for allowed in ALLOWED_RANKS if allowed >= rank >= 1]
    if not fitting:
        raise ConfigError(f"expected max_lora_rank from 1 to {ALLOWED_RANKS[-1]}, got {rank}: vLLM takes no other")
    return fitting[0]


def _set_environment(path: str, device: str) -> None:
    """Set what vLLM reads at import; what the user has set stays, but for the one thing that stepping in this process needs."""
    # AsyncLLM starts its process all the same; on a CPU this keeps it from starting a second one.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    defaults = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
    if Path(path).is_dir():
        defaults["HF_HUB_OFFLINE"] = "1"
    if device == "cpu":
        # vLLM would bind each process's threads to the same first cores.
        defaults["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _advice(error: Exception) -> str:
    text = str(error).lower()
    if "head size" in text or "head_size" in text or "head_dim" in text:
        return "its attention heads have a size that vLLM does not support here; set engine: transformers"
    if "memory" in text or "kv cache" in text:
        return "there is not enough memory; lower engine_args.gpu_memory_utilization or kv_cache_memory_bytes, max_model_len or max_loras"
    if "rank" in text:
        return f"set engine_args.max_lora_rank to one of {', '.join(map(str, ALLOWED_RANKS))}"
    return "see the reason, or set engine: transformers"


def _summary(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
