"""Measure what `capacity` needs to know: a loaded model's shape, an adapter's weights on it, and the GPU's free memory."""

from collections.abc import Sequence

import torch
from transformers.pytorch_utils import Conv1D

from protocol.jobs import LoraSpec
from seal_runtime.engines.capacity import Capacity, ModelShape, capacity_of, capacity_on_cpu
from seal_runtime.engines.lora_targets import names_layer, resolve_targets
from seal_runtime.engines.model_loading import LoadedModel

_DEFAULT_RANK = 32


def capacity_on_device(
    loaded: LoadedModel,
    lora: LoraSpec | None,
    *,
    large: Sequence[LoraSpec] = (),
    num_slots: int,
    max_tokens_per_step: int,
    loss_chunk_tokens: int,
    activation_checkpointing: bool,
) -> Capacity:
    """Return what fits beside a model that lies on its device already; 0 slots or chunk tokens are chosen.

    Without `lora` an adapter of rank 32 on the default targets counts; each of `large` has room while no other is at work. Raises
    ConfigError when nothing fits.
    """
    shape = shape_of(loaded)
    if loaded.device.type != "cuda":
        return capacity_on_cpu(num_slots, max_tokens_per_step, loss_chunk_tokens, shape.vocab_size)
    torch.cuda.empty_cache()
    free_bytes, _ = torch.cuda.mem_get_info(loaded.device)
    return capacity_of(
        free_bytes=free_bytes,
        num_adapter_weights=count_adapter_weights(loaded, lora),
        num_large_weights=max((count_adapter_weights(loaded, other) for other in large), default=0),
        shape=shape,
        num_slots=num_slots,
        max_tokens_per_step=max_tokens_per_step,
        loss_chunk_tokens=loss_chunk_tokens,
        activation_checkpointing=activation_checkpointing,
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


def shape_of(loaded: LoadedModel) -> ModelShape:
    """Return the sizes of a model that its memory depends on."""
    config = loaded.model.config
    hidden = int(config.hidden_size)
    return ModelShape(
        num_layers=int(config.num_hidden_layers),
        hidden_size=hidden,
        intermediate_size=int(getattr(config, "intermediate_size", None) or 4 * hidden),
        vocab_size=int(loaded.model.get_output_embeddings().weight.shape[0]),
        bytes_a_number=loaded.model.dtype.itemsize,
    )
