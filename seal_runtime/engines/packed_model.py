"""A Hugging Face causal language model that runs packed batches of groups, each group with its own adapter.

Its linear layers and its attention are replaced in place; everything else (norms, rotary embeddings, activations) is the model's own
code. Invariant: on CPU, with one thread, a group's hidden states and gradients are bit-identical whatever else is in the batch.
"""

# T rows of the pass, D width of the hidden state, V vocabulary
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from transformers.pytorch_utils import Conv1D

from seal_runtime.engines.activation_checkpointing import checkpoint_blocks
from seal_runtime.engines.exact_product import tiles_are_exact
from seal_runtime.engines.grouped_linear import GroupedLinear
from seal_runtime.engines.grouped_probe import grouped_products_work
from seal_runtime.engines.lora_group import Group
from seal_runtime.engines.lora_targets import names_layer, resolve_targets
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.packed_attention import IMPLEMENTATION, register
from seal_runtime.engines.packed_batch import BatchContext, PackedBatch, Phase
from seal_runtime.engines.policy_folding import PolicyFolding
from seal_runtime.engines.stacked_factors import StackedFactors
from seal_runtime.errors import AdaptError, ConfigError

ProductMode = Literal["grouped", "exact", "packed"]
"""How a pass multiplies with frozen weights: `grouped`, group by group; `exact`, in training all rows at once without changing a bit (CPU,
float32); `packed`, all rows at once (GPU)."""

_PROBE_LENGTH = 12
_BATCH_DEPENDENT_ROPE = ("dynamic", "longrope")


class PackedModel:
    """Runs groups through one frozen model; owns the folding of policies into its weights."""

    def __init__(self, loaded: LoadedModel, mode: ProductMode | None = None, activation_checkpointing: bool = False) -> None:
        self.loaded = loaded
        self.device = loaded.device
        self.mode: ProductMode = mode or ("packed" if loaded.device.type == "cuda" else "grouped")
        self._context = BatchContext(loaded.device)
        self._decoder = loaded.model.base_model
        self.head_VD = loaded.model.get_output_embeddings().weight.detach()
        self.dtype = self.head_VD.dtype
        rope = getattr(loaded.model.config, "rope_parameters", None) or {}
        if rope.get("rope_type", "default") in _BATCH_DEPENDENT_ROPE:
            raise ConfigError(
                f"model {loaded.name!r} has rotary scaling {rope['rope_type']!r}, which depends on the longest text of a batch: "
                "expected one of default, linear, llama3, yarn"
            )
        ids, expected_LV = self._reference_logits()
        self.layers: list[GroupedLinear] = self._hook()
        self._selected: dict[tuple[str, ...], list[GroupedLinear]] = {}
        if self.mode == "exact" and not self._can_be_exact():
            self.mode = "grouped"
        widths = {width for layer in self.layers for width in (layer.in_features, layer.out_features)}
        if self.mode == "packed" and not grouped_products_work(self.device, self.dtype, widths):
            self.mode = "grouped"
        if activation_checkpointing:
            checkpoint_blocks(loaded.model, self._context.anchor)
        self.folding = PolicyFolding(self.layers)
        self._check(ids, expected_LV)

    def select(self, targets: Sequence[str]) -> list[GroupedLinear]:
        """Return the layers that an adapter with these targets has, in the model's order; no targets mean the family's default.

        Raises AdaptError for a target that names no layer.
        """
        asked = tuple(targets)
        if asked not in self._selected:
            self._selected[asked] = self._find(self.resolve_targets(asked))
        return self._selected[asked]

    def _find(self, patterns: Sequence[str]) -> list[GroupedLinear]:
        for target in patterns:
            if not any(names_layer(target, layer.name) for layer in self.layers):
                known = ", ".join(sorted({layer.name.rpartition(".")[2] for layer in self.layers}))
                raise AdaptError(f"LoRA target {target!r} names no linear layer of {self.loaded.name!r}: expected some of {known}")
        return [layer for layer in self.layers if any(names_layer(target, layer.name) for target in patterns)]

    def resolve_targets(self, targets: Sequence[str]) -> tuple[str, ...]:
        """Return the targets by name, sorted: PEFT's default of the family for none, all of them for `all-linear`."""
        return resolve_targets(self.loaded.model_type, targets, (layer.name for layer in self.layers))

    def fold(self, adapters: tuple[Path, ...]) -> None:
        """Make the weights base + these adapters, oldest first. Raises StoreError or ReceiptError and then changes nothing."""
        self.folding.fold(adapters)

    def batch(self, groups: Sequence[Group], phase: Phase = "sequences", train: bool = False) -> PackedBatch:
        """Lay out a batch in this model's mode."""
        stacked = None
        if self.mode == "packed":
            stacked = StackedFactors(groups, self.dtype, self.device)
            if train:
                stacked.require_gradients()
        return PackedBatch(groups, phase, self.device, stacked, is_exact=train and self.mode == "exact")

    def hidden_states(self, batch: PackedBatch) -> torch.Tensor:
        """Return the last hidden states [T, D] of the rows of `batch`. Gradients are recorded as torch's gradient mode says.

        A backward pass must come before the next call.
        """
        self._context.batch = batch
        output = self._decoder(input_ids=batch.ids_1T, position_ids=batch.positions_1T, attention_mask=None, use_cache=False)
        return output.last_hidden_state[0]

    def _hook(self) -> list[GroupedLinear]:
        register()
        model = self.loaded.model
        layers: list[GroupedLinear] = []
        prefix = f"{model.base_model_prefix}."
        for name, module in list(model.named_modules()):
            if isinstance(module, (torch.nn.Linear, Conv1D)) and name.startswith(prefix):
                parent, _, attribute = name.rpartition(".")
                layer = GroupedLinear(module, name, len(layers), self._context)
                setattr(model.get_submodule(parent), attribute, layer)
                layers.append(layer)
            elif hasattr(module, "layer_idx"):
                module.seal_context = self._context
        model.set_attn_implementation(IMPLEMENTATION)
        return layers

    def _can_be_exact(self) -> bool:
        """Say whether the machine's products by tiles are exact for every shape of this model, in forward and backward."""
        if self.device.type != "cpu" or self.dtype != torch.float32:
            return False
        shapes = {(layer.in_features, layer.out_features, layer.is_transposed): layer for layer in self.layers}
        weights = [weight for layer in shapes.values() for weight in (layer.weight_IO, layer.weight_OI)]
        return all(tiles_are_exact(weight) for weight in [*weights, self.head_VD.t(), self.head_VD])

    def _reference_logits(self) -> tuple[torch.Tensor, torch.Tensor]:
        ids_L = torch.arange(_PROBE_LENGTH) * 7 % self.loaded.model.config.vocab_size
        with torch.no_grad():
            return ids_L, self.loaded.model(input_ids=ids_L[None].to(self.device), use_cache=False).logits[0].float()

    def _check(self, ids_L: torch.Tensor, expected_LV: torch.Tensor) -> None:
        """Refuse a model whose forward pass is not what the hooks reproduce (soft caps, logit scales, other attention)."""
        groups = [Group(ids_T=ids_L, positions_T=torch.arange(len(ids_L)), lengths=[len(ids_L)]) for _ in range(2)]
        with torch.no_grad():
            hidden_TD = self.hidden_states(self.batch(groups))[len(ids_L) : 2 * len(ids_L)]
            logits_LV = (hidden_TD @ self.head_VD.t()).float()
        error = float((logits_LV - expected_LV).abs().max() / expected_LV.abs().max().clamp_min(1e-6))
        limit = 1e-3 if self.dtype == torch.float32 else 0.05
        if not error < limit:
            raise ConfigError(
                f"model {self.loaded.name!r} of type {self.loaded.model_type} computes other logits when packed "
                f"(relative error {error:.2g}, limit {limit}): expected a decoder like GPT-2, Llama, Mistral or Qwen2"
            )
