"""Transformer blocks that keep only their input for the backward pass and compute everything else again there.

The recomputation runs the same kernels on the same numbers, so on CPU gradients are bit-identical to those without it. It costs one more
forward pass. Nothing is kept during the first pass, whatever way a layer of the block has of keeping tensors.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from seal_runtime.errors import ConfigError


def checkpoint_blocks(model: Any, anchor: torch.Tensor) -> int:
    """Make every transformer block of `model` recompute in the backward pass; return how many there are.

    `anchor` requires a gradient, so that blocks take part in the backward pass although their input may need none. Raises ConfigError for a
    model whose blocks are not known.
    """
    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not blocks:
        raise ConfigError(
            f"model type {model.config.model_type} has no transformer blocks that can be recomputed: "
            "set trainer.activation_checkpointing to false"
        )
    for block in blocks:
        block.forward = partial(_forward, block.forward, anchor)
    return len(blocks)


def _forward(forward: Callable[..., torch.Tensor], anchor: torch.Tensor, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(hidden_states, *args, **kwargs)
    return _Recomputed.apply(hidden_states, anchor, partial(_call, forward, args, kwargs))


def _call(forward: Callable[..., torch.Tensor], args: tuple[Any, ...], kwargs: dict[str, Any], hidden_states: torch.Tensor) -> torch.Tensor:
    output = forward(hidden_states, *args, **kwargs)
    assert isinstance(output, torch.Tensor), "a block returns its hidden states"
    return output


class _Recomputed(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped to mypy here
    @staticmethod
    def forward(ctx: Any, hidden_states: torch.Tensor, anchor: torch.Tensor, block: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        ctx.save_for_backward(hidden_states)
        ctx.block = block
        return block(hidden_states)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        (saved,) = ctx.saved_tensors
        hidden_states = saved.detach().requires_grad_(ctx.needs_input_grad[0])
        with torch.enable_grad():
            output = ctx.block(hidden_states)
        if output.requires_grad:
            torch.autograd.backward(output, gradient)
        return hidden_states.grad, None, None
