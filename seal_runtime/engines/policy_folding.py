"""Fold a policy's adapters into the weights of a model, and unfold them without a trace.

Invariant: the weights are a function of the base weights and the chain alone. A pristine copy of every touched weight is kept and each
fold starts from it, so that going back to an older policy is bit-exact. The copies lie in main memory: a GPU's is shared out before the
first policy comes.
"""

# O outputs, I inputs of a layer
from collections.abc import Sequence
from pathlib import Path

import torch

from seal_runtime.engines.adapter_files import LoraAdapter, check_fits, read_adapter_with_hash
from seal_runtime.engines.grouped_linear import GroupedLinear

_UNFINISHED = (Path("unfinished"),)
"""Stands for weights that a failure left between two policies, all or one layer's: no policy that anybody asks for."""


class PolicyFolding:
    """Holds which chain the layers' weights have folded in, the SHA-256 of each adapter as it was read, and which part each layer has."""

    def __init__(self, layers: Sequence[GroupedLinear]) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self.shapes = {layer.name: (layer.out_features, layer.in_features) for layer in layers}
        self._pristine: dict[str, torch.Tensor] = {}
        self._folded: dict[str, tuple[Path, ...]] = {}
        self.chain: tuple[Path, ...] = ()
        self.sha256s: tuple[str, ...] = ()

    def fold(self, chain: tuple[Path, ...]) -> None:
        """Make the weights base + chain. Raises StoreError or ReceiptError, and then the weights are what they were.

        Only layers that other adapters touch than before are made anew. After any other error (no memory left) the weights are those of
        no policy until the next fold.
        """
        if chain == self.chain:
            return
        read = [read_adapter_with_hash(folder) for folder in chain]
        adapters = [adapter for adapter, _ in read]
        for adapter, folder in zip(adapters, chain, strict=True):
            check_fits(adapter, self.shapes, str(folder))
        self.chain = _UNFINISHED
        parts = {
            name: tuple(folder for folder, adapter in zip(chain, adapters, strict=True) if name in adapter.factors)
            for name in self._folded.keys() | {name for adapter in adapters for name in adapter.factors}
        }
        for name, part in parts.items():
            if self._folded.get(name, ()) != part:
                self._fold_layer(name, part, adapters)
        self.chain, self.sha256s = chain, tuple(sha256 for _, sha256 in read)

    def _fold_layer(self, name: str, part: tuple[Path, ...], adapters: Sequence[LoraAdapter]) -> None:
        layer = self._layers[name]
        if name not in self._pristine:
            self._pristine[name] = layer.weight_OI.to("cpu", copy=True)
        self._folded[name] = _UNFINISHED
        layer.weight_OI.copy_(folded_weight(self._pristine[name].to(layer.weight_OI.device), name, adapters))
        self._folded[name] = part


def folded_weight(base_OI: torch.Tensor, name: str, adapters: Sequence[LoraAdapter]) -> torch.Tensor:
    """Return a layer's weight with the adapters added in float32, oldest first, in the dtype of the base."""
    weight_OI = base_OI
    for adapter in adapters:
        if name in adapter.factors:
            a_RI, b_OR = (factor.to(base_OI.device) for factor in adapter.factors[name])
            weight_OI = weight_OI.float() + adapter.scale * (b_OR @ a_RI)
    return weight_OI.to(base_OI.dtype)
