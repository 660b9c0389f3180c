"""Load adapters for evaluation with the facts that a receipt needs: what bytes were loaded, and that they fit the model.

Reading, hashing and checking a large adapter takes longer than answering with it, so a thread does it while others are answered for.
"""

from functools import partial
from pathlib import Path

from seal_runtime.engines.adapter_files import LoraAdapter, check_fits, read_adapter_with_hash
from seal_runtime.engines.lora_group import LoraFactors
from seal_runtime.engines.packed_model import PackedModel
from seal_runtime.engines.side_thread import SideThread

_MAX_AHEAD = 4
"""Adapters read ahead, as they take memory."""

_Read = tuple[LoraAdapter, str]


class AdapterReads:
    """Reads the adapters of requests that wait, a few ahead, in the order of `begin`."""

    def __init__(self) -> None:
        self._reads: SideThread[_Read] = SideThread("adapter-reader")

    def begin(self, request_id: str, folder: Path | None) -> None:
        """Read an adapter if that has not begun and there is room; None is no adapter."""
        if folder is not None and request_id not in self._reads and len(self._reads) < _MAX_AHEAD:
            self._reads.submit(request_id, partial(read_adapter_with_hash, folder))

    def is_under_way(self, request_id: str, patience_seconds: float) -> bool:
        """Say whether an adapter is still being read after a wait of at most `patience_seconds`."""
        return self._reads.is_under_way(request_id, patience_seconds)

    def take(self, request_id: str, folder: Path) -> _Read:
        """Return an adapter and the SHA-256 of its bytes, now. Raises StoreError."""
        return self._reads.take(request_id) if request_id in self._reads else read_adapter_with_hash(folder)

    def forget(self, request_id: str) -> None:
        """Give up a read; unknown ids are ignored."""
        self._reads.drop(request_id)

    def close(self) -> None:
        """Give up everything and end the thread. Idempotent."""
        self._reads.close()


def load_factors(packed: PackedModel, folder: Path | None, read: _Read | None = None) -> tuple[dict[int, LoraFactors], str]:
    """Return the factors of an adapter by layer, and the SHA-256 of the bytes they came from; nothing and "" for no adapter.

    `read` is what `AdapterReads` has of the folder. Raises StoreError when the files are missing or corrupt, ReceiptError when they are
    for another model.
    """
    if folder is None:
        return {}, ""
    adapter, sha256 = read or read_adapter_with_hash(folder)
    check_fits(adapter, packed.folding.shapes, str(folder))
    indices = {layer.name: layer.index for layer in packed.layers}
    factors = {}
    for name, (a_RI, b_OR) in adapter.factors.items():
        factors[indices[name]] = LoraFactors(
            weight_a_RI=a_RI.to(packed.device).contiguous(), weight_b_RO=b_OR.t().to(packed.device).contiguous(), scale=adapter.scale
        )
    return factors, sha256
