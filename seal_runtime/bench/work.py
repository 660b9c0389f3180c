"""Count the arithmetic of an inner loop, in floating-point operations.

    a token:     4 N + 6 P          N weights of the frozen linear layers, output layer included (forward and input gradient, no
                                    weight gradient), P weights of the adapter (forward, input gradient, weight gradient)
    a sequence:  6 L^2 H            for each layer: causal attention over L tokens with H numbers a token, forward and backward

Embedding look-ups, norms and activations are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What the count needs to know of a model: N, and H summed over its layers."""

    num_linear_weights: int
    attention_width: int

    def training_flops(self, lengths: Sequence[int], num_adapter_weights: int) -> float:
        """Return the operations of one training pass over sequences of these lengths."""
        a_token = 4.0 * self.num_linear_weights + 6.0 * num_adapter_weights
        return a_token * sum(lengths) + 6.0 * self.attention_width * sum(length * length for length in lengths)


def size_of(model: Any) -> ModelSize:
    """Measure a model that no engine has hooked."""
    config = model.config
    layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    head_size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, (torch.nn.Linear, Conv1D)))
    return ModelSize(num_linear_weights=int(weights), attention_width=layers * heads * head_size)
