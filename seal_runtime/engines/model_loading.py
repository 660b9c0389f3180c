"""Load a causal language model and its tokenizer from a folder, the hub, the package (`builtin:`) or a random start (`random:`).

Whatever is missing becomes a ConfigError that says what to do. Weights are read from safetensors only.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from seal_runtime.engines.random_models import build_random_model
from seal_runtime.errors import ConfigError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in evaluation mode with frozen weights, and what an engine must know about it.

    `speaks_chat`: its prompts are put into its chat template (`seal_runtime.engines.chat_prompts`). `parses_special_tokens`: those that are
    written in a text are those tokens to it (`seal_runtime.engines.special_tokens`).
    """

    name: str
    model: Any
    tokenizer: Any
    context_length: int
    eos_token_id: int
    stop_token_ids: frozenset[int]
    device: torch.device
    speaks_chat: bool = False
    parses_special_tokens: bool = False

    @property
    def model_type(self) -> str:
        """Return the family as Hugging Face names it, such as `llama`."""
        return str(self.model.config.model_type)


def load_model(path: str, dtype: str = "float32", device: str = "cpu", revision: str | None = None) -> LoadedModel:
    """Load `path`: a local folder, a hub name (at `revision`), `builtin:NAME` or `random:ARCH`. Raises ConfigError."""
    torch_dtype = _DTYPES.get(dtype)
    if torch_dtype is None:
        raise ConfigError(f"expected dtype to be one of {', '.join(_DTYPES)}, got {dtype!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"device {device!r} was asked for, but torch sees no CUDA device: set device to cpu or install a CUDA build of torch"
        )
    if path.startswith("random:"):
        model, tokenizer = build_random_model(path.removeprefix("random:"), torch_dtype, device)
    else:
        model, tokenizer = _load_pretrained(resolve_model_path(path), torch_dtype, device, revision)
    return _describe(path, model, tokenizer, torch.device(device))


def resolve_model_path(path: str) -> str:
    """Return the local folder or hub name that `path` stands for. Raises ConfigError for a folder without a model."""
    if path.startswith("builtin:"):
        from seal_runtime.models import builtin_model_path

        return str(builtin_model_path(path.removeprefix("builtin:")))
    folder = Path(path).expanduser()
    if not folder.is_dir():
        if path.startswith((".", "/", "~")):
            raise ConfigError(f"model folder {path!r} does not exist: give a folder with config.json and *.safetensors, or a hub name")
        return path
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model folder {path!r} has no config.json: it is not a Hugging Face model")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"model folder {path!r} has no *.safetensors file: save the model with save_pretrained (pickled weights are not read)"
        )
    return str(folder)


def _load_pretrained(path: str, dtype: torch.dtype, device: str, revision: str | None) -> tuple[Any, Any]:
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        hint = "is the name right and the hub reachable?"
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
            hint = "HF_HUB_OFFLINE is set or the hub cannot be reached, so only the local cache was searched"
        if Path(path).is_dir():
            hint = "is the folder a complete causal language model with its tokenizer?"
        raise ConfigError(f"cannot load model {path!r}: {hint} ({_first_line(error)})") from error
    return model.to(device), tokenizer


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _describe(name: str, model: Any, tokenizer: Any, device: torch.device) -> LoadedModel:
    model.eval()
    model.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    config = model.config
    stops = {
        tokenizer.eos_token_id,
        *as_token_ids(config.eos_token_id),
        *as_token_ids(getattr(model.generation_config, "eos_token_id", None)),
    }
    stops.discard(None)
    if not stops:
        raise ConfigError(f"model {name!r} names no end-of-sequence token: set eos_token in its tokenizer_config.json")
    eos_token_id = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(stops)
    context_length = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 0)
    if context_length <= 0:
        raise ConfigError(f"model {name!r} of type {config.model_type} states no max_position_embeddings in its config.json")
    return LoadedModel(
        name=name,
        model=model,
        tokenizer=tokenizer,
        context_length=context_length,
        eos_token_id=int(eos_token_id),
        stop_token_ids=frozenset(int(token) for token in stops),
        device=device,
    )


def as_token_ids(value: int | list[int] | None) -> list[int]:
    """Return what a configuration says of end tokens (none, one or several) as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
