"""Load adapters for evaluation with the facts that a receipt needs: what bytes were loaded, and that they fit the model."""

from pathlib import Path

from seal_runtime.engines.adapter_files import check_fits, read_adapter_with_hash
from seal_runtime.engines.lora_group import LoraFactors
from seal_runtime.engines.packed_model import PackedModel


def load_factors(packed: PackedModel, folder: Path | None) -> tuple[dict[int, LoraFactors], str]:
    """Return the factors of an adapter by layer, and the SHA-256 of the bytes they came from; nothing and "" for no adapter.

    Raises StoreError when the files are missing or corrupt, ReceiptError when they are for another model.
    """
    if folder is None:
        return {}, ""
    adapter, sha256 = read_adapter_with_hash(folder)
    check_fits(adapter, packed.folding.shapes, str(folder))
    indices = {layer.name: layer.index for layer in packed.layers}
    factors = {}
    for name, (a_RI, b_OR) in adapter.factors.items():
        factors[indices[name]] = LoraFactors(
            weight_a_RI=a_RI.to(packed.device).contiguous(), weight_b_RO=b_OR.t().to(packed.device).contiguous(), scale=adapter.scale
        )
    return factors, sha256
