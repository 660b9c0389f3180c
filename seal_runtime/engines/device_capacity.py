"""Measure what `capacity` needs to know: a loaded model's shape, an adapter's weights on it, and the GPU's free memory."""

import torch
from transformers.pytorch_utils import Conv1D

from protocol.jobs import LoraSpec
from seal_runtime.engines.capacity import Capacity, bytes_a_token, capacity_of
from seal_runtime.engines.lora_targets import names_layer, resolve_targets
from seal_runtime.engines.model_loading import LoadedModel

_DEFAULT_RANK = 32


def capacity_on_device(loaded: LoadedModel, lora: LoraSpec | None, max_tokens_per_step: int) -> Capacity:
    """Return what fits beside a model that lies on a GPU already. Without `lora` an adapter of rank 32 on the default targets counts."""
    torch.cuda.empty_cache()
    free_bytes, _ = torch.cuda.mem_get_info(loaded.device)
    return capacity_of(
        free_bytes=free_bytes,
        num_adapter_weights=count_adapter_weights(loaded, lora),
        token_bytes=token_bytes_of(loaded),
        max_tokens_per_step=max_tokens_per_step,
    )


def count_adapter_weights(loaded: LoadedModel, lora: LoraSpec | None) -> int:
    """Return the weights of one adapter on a model that no engine has hooked."""
    rank, asked = (_DEFAULT_RANK, ()) if lora is None else (lora.rank, lora.targets)
    prefix = f"{loaded.model.base_model_prefix}."
    linear = {
        name: module
        for name, module in loaded.model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and name.startswith(prefix)
    }
    targets = resolve_targets(loaded.model_type, asked, linear)
    chosen = [module for name, module in linear.items() if any(names_layer(target, name) for target in targets)]
    return rank * sum(sum(module.weight.shape) for module in chosen)


def token_bytes_of(loaded: LoadedModel) -> int:
    """Return what a training pass keeps for a token of this model."""
    config = loaded.model.config
    hidden = int(config.hidden_size)
    return bytes_a_token(
        num_layers=int(config.num_hidden_layers),
        hidden_size=hidden,
        intermediate_size=int(getattr(config, "intermediate_size", None) or 4 * hidden),
        bytes_a_number=loaded.model.dtype.itemsize,
    )
