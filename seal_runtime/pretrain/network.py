"""The built-in model's forward pass for training: a Llama on a flat dictionary of Hugging Face weight names.

It computes what `LlamaForCausalLM` computes (a test compares them), with logits only where there is a label and with the attention
in float32: bfloat16 attention is 2 to 6 times slower on the CPUs this runs on.
"""

# B rows, T tokens, D hidden, H heads, E head size, N labelled positions, V vocabulary

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from seal_runtime.pretrain.vocabulary import END_OF_TEXT_ID, MAX_POSITIONS

Weights = dict[str, Tensor]
EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """Sizes of a Llama with tied embeddings and one key-value head a query head."""

    vocabulary: int
    hidden: int = 128
    num_layers: int = 4
    num_heads: int = 4
    feed_forward: int = 384
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        """Return the width of one attention head."""
        return self.hidden // self.num_heads

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Return (outputs, inputs) of each linear layer of a block."""
        wide, narrow = (self.feed_forward, self.hidden), (self.hidden, self.feed_forward)
        shapes = {f"self_attn.{name}_proj": (self.hidden, self.hidden) for name in "qkvo"}
        return shapes | {"mlp.gate_proj": wide, "mlp.up_proj": wide, "mlp.down_proj": narrow}


def initial_weights(shape: NetworkShape, seed: int) -> Weights:
    """Draw the weights; layers that write to the residual stream start smaller, by the square root of their number."""
    generator = torch.Generator().manual_seed(seed)
    weights = {EMBEDDING: torch.randn(shape.vocabulary, shape.hidden, generator=generator) * 0.02}
    for layer in range(shape.num_layers):
        for name, (outputs, inputs) in shape.linear_shapes().items():
            scale = 0.7 / math.sqrt(inputs)
            if name in ("self_attn.o_proj", "mlp.down_proj"):
                scale /= math.sqrt(2 * shape.num_layers)
            weights[f"model.layers.{layer}.{name}.weight"] = torch.randn(outputs, inputs, generator=generator) * scale
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"model.layers.{layer}.{name}.weight"] = torch.ones(shape.hidden)
    weights[FINAL_NORM] = torch.ones(shape.hidden)
    return weights


def logits_at_labels(shape: NetworkShape, weights: Weights, ids_BT: Tensor, labels_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits [N, V] that predict the N labels >= 0, and those labels. Rows are padded at the right."""
    hidden_BTD = _hidden_states(shape, weights, ids_BT)
    predicted_BT = labels_BT[:, 1:] >= 0
    logits_NV = F.linear(hidden_BTD[:, :-1][predicted_BT], weights[EMBEDDING])
    return logits_NV.float(), labels_BT[:, 1:][predicted_BT]


def save_model(shape: NetworkShape, weights: Weights, folder: Path) -> None:
    """Write a `LlamaForCausalLM` folder with float16 weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_heads,
        max_position_embeddings=MAX_POSITIONS,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True,
        attention_bias=False,
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
        pad_token_id=END_OF_TEXT_ID,
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict({**weights, "lm_head.weight": weights[EMBEDDING]}, strict=True)
    model.half().save_pretrained(str(folder))
    # safetensors writes for the owner only; an installed package is read by everyone.
    (folder / "model.safetensors").chmod(0o644)


def _hidden_states(shape: NetworkShape, weights: Weights, ids_BT: Tensor) -> Tensor:
    x_BTD = F.embedding(ids_BT, weights[EMBEDDING])
    rotation = _rotation(shape, ids_BT.shape[1])
    for layer in range(shape.num_layers):
        prefix = f"model.layers.{layer}."
        normed_BTD = F.rms_norm(x_BTD, (shape.hidden,), weights[prefix + "input_layernorm.weight"], shape.norm_epsilon)
        x_BTD = x_BTD + _attention(shape, weights, prefix + "self_attn.", normed_BTD, rotation)
        normed_BTD = F.rms_norm(x_BTD, (shape.hidden,), weights[prefix + "post_attention_layernorm.weight"], shape.norm_epsilon)
        gate_BTF = F.silu(F.linear(normed_BTD, weights[prefix + "mlp.gate_proj.weight"]))
        up_BTF = F.linear(normed_BTD, weights[prefix + "mlp.up_proj.weight"])
        x_BTD = x_BTD + F.linear(gate_BTF * up_BTF, weights[prefix + "mlp.down_proj.weight"])
    return F.rms_norm(x_BTD, (shape.hidden,), weights[FINAL_NORM], shape.norm_epsilon)


def _attention(shape: NetworkShape, weights: Weights, prefix: str, x_BTD: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    rows, length, _ = x_BTD.shape

    def heads(name: str) -> Tensor:
        projected_BTD = F.linear(x_BTD, weights[f"{prefix}{name}_proj.weight"]).float()
        return projected_BTD.view(rows, length, shape.num_heads, shape.head_size).transpose(1, 2)

    query_BHTE, key_BHTE, value_BHTE = _rotate(heads("q"), rotation), _rotate(heads("k"), rotation), heads("v")
    with torch.autocast("cpu", enabled=False):
        mixed_BHTE = F.scaled_dot_product_attention(query_BHTE, key_BHTE, value_BHTE, is_causal=True)
    return F.linear(mixed_BHTE.transpose(1, 2).reshape(rows, length, shape.hidden), weights[prefix + "o_proj.weight"])


def _rotation(shape: NetworkShape, length: int) -> tuple[Tensor, Tensor]:
    frequencies = shape.rope_theta ** -(torch.arange(0, shape.head_size, 2).float() / shape.head_size)
    angles_TE = torch.outer(torch.arange(length).float(), frequencies).repeat(1, 2)
    return angles_TE.cos(), angles_TE.sin()


def _rotate(x_BHTE: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos_TE, sin_TE = rotation
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos_TE + torch.cat((-second, first), dim=-1) * sin_TE
