"""What a plan must know of a model, measured on its modules without weights (torch's meta device): nothing is loaded or downloaded.

The counts are those of the engines and benchmarks themselves (`device_capacity`, `bench.work`), so that plan and run agree.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from protocol.jobs import LoraSpec
from seal_runtime.bench.work import size_of
from seal_runtime.config.machine import cached_model_folder
from seal_runtime.config.references import model_reference
from seal_runtime.config.topology import Topology
from seal_runtime.engines.capacity import ModelShape
from seal_runtime.engines.device_capacity import count_adapter_weights, shape_of
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.random_models import ARCHITECTURES
from seal_runtime.errors import ConfigError
from seal_runtime.models import builtin_model_path

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ALL_LINEAR = LoraSpec(rank=1, alpha=1.0, targets=("all-linear",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The sizes. `linear_weights` are those of frozen linear layers, output layer included; `attention_width` heads times their size,
    summed over the layers; `cache_bytes` what a token's keys and values take; weights of adapters by purpose (`large_weights`: of the
    largest that is no self-edit's), `rank_weights` those of one rank on all linear layers.
    """

    name: str
    shape: ModelShape
    num_weights: int
    linear_weights: int
    attention_width: int
    context_length: int
    cache_bytes: int
    inner_weights: int
    policy_weights: int
    large_weights: int
    rank_weights: int

    @property
    def weight_bytes(self) -> int:
        """Return what one copy of the base takes."""
        return self.num_weights * self.shape.bytes_a_number

    @property
    def linear_bytes(self) -> int:
        """Return what a pass over the linear layers reads."""
        return self.linear_weights * self.shape.bytes_a_number


def model_facts(topology: Topology, dtype: str) -> ModelFacts:
    """Return the facts of a topology's model. Raises ConfigError for one whose shape cannot be had without a download."""
    config = _model_config(topology)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=_DTYPES[dtype])
    model.requires_grad_(False)
    size = size_of(model)
    loaded = _as_loaded(topology.model.path, model)
    layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    head_size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    cached_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    shape = shape_of(loaded)
    return ModelFacts(
        name=topology.model.path,
        shape=shape,
        num_weights=sum(weight.numel() for weight in model.parameters()),
        linear_weights=size.num_linear_weights,
        attention_width=size.attention_width,
        context_length=loaded.context_length,
        cache_bytes=2 * layers * cached_heads * head_size * shape.bytes_a_number,
        inner_weights=count_adapter_weights(loaded, topology.trainer.lora.spec()),
        policy_weights=count_adapter_weights(loaded, topology.algorithm.lora.spec()),
        large_weights=max((count_adapter_weights(loaded, lora) for lora in topology.large_adapters()), default=0),
        rank_weights=count_adapter_weights(loaded, _ALL_LINEAR),
    )


def architecture_key(path: str) -> str:
    """Return the name by which two ways of naming a model are the same: Qwen/Qwen2.5-7B-Instruct and random:qwen2.5-7b."""
    name = path.rstrip("/").rpartition("/")[2].rpartition(":")[2].lower()
    return name.removesuffix("-instruct").removesuffix("-it").removesuffix("-base")


def _model_config(topology: Topology) -> Any:
    path = topology.model.path
    reference = model_reference(path)
    folder: Path | None = None
    if reference.kind == "builtin":
        folder = builtin_model_path(reference.name)
    elif reference.kind == "local":
        folder = Path(reference.name)
    elif reference.kind == "hub":
        folder = cached_model_folder(reference.name, topology.model.revision)
    if folder is not None:
        return _config_in(folder)
    make = ARCHITECTURES.get(architecture_key(path))
    if make is None:
        raise ConfigError(
            f"model.path: expected a model whose shape is known without a download, got {path!r}; name a folder with its config.json "
            f"(--set model.path=./folder; the weights need not be there) or one of {', '.join(f'random:{name}' for name in ARCHITECTURES)}"
        )
    return make()


def _config_in(folder: Path) -> Any:
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return AutoConfig.for_model(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"model.path: expected the config.json of a causal language model in {folder}, got: {error}") from error


def _as_loaded(name: str, model: Any) -> LoadedModel:
    context = int(getattr(model.config, "max_position_embeddings", 0) or getattr(model.config, "n_positions", 0) or 0)
    return LoadedModel(
        name=name,
        model=model,
        tokenizer=None,
        context_length=context,
        eos_token_id=0,
        stop_token_ids=frozenset(),
        device=torch.device("meta"),
    )
