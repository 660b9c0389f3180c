"""The adapters that vLLM holds: loaded before their first use, unloaded after their last.

Invariant: a name and folder belong to one content for ever. vLLM's prefix cache is keyed by both, and with new weights under an old name
it would serve stale keys silently.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seal_runtime.engines.adapter_files import LoraAdapter, check_fits, read_adapter_with_hash, write_adapter
from seal_runtime.engines.vllm_driver import VllmDriver
from seal_runtime.engines.vllm_options import ALLOWED_RANKS
from seal_runtime.errors import EngineDiedError, GenerateError, ReceiptError
from seal_runtime.store.leftovers import make_scratch, memory_folder, sweep_scratch

_MAX_IDLE = 4


@dataclass(slots=True, kw_only=True)
class HeldAdapter:
    """An adapter that vLLM has loaded. `sha256` is that of the bytes it was read from."""

    sha256: str
    lora: Any
    folder: Path
    num_users: int = 0


class VllmAdapters:
    """Lends loaded adapters; a few that nobody uses are kept, the others are unloaded and removed from disk."""

    def __init__(self, vllm: VllmDriver, shapes: Mapping[str, tuple[int, int]], max_rank: int) -> None:
        self._vllm = vllm
        self._shapes = shapes
        self._max_rank = max_rank
        sweep_scratch()
        self.folder = make_scratch("vllm", memory_folder())
        self._held: dict[str, HeldAdapter] = {}
        self._last_id = 0

    def borrow(self, source: Path) -> HeldAdapter:
        """Return the adapter of a PEFT directory, loaded. Every call needs a `give_back`.

        Raises StoreError when the files are missing or corrupt, ReceiptError when they do not fit the model, GenerateError for the rank.
        """
        adapter, sha256 = read_adapter_with_hash(source)
        check_fits(adapter, self._shapes, str(source))
        if adapter.rank > self._max_rank:
            raise GenerateError(
                f"adapter {source} has rank {adapter.rank}, vLLM was started for up to {self._max_rank}: "
                f"set engine_args.max_lora_rank to {adapter.rank} or more (vLLM takes up to {ALLOWED_RANKS[-1]})"
            )
        return self._lend(sha256, adapter)

    def borrow_without_effect(self) -> HeldAdapter:
        """Return an adapter of zeros."""
        name, (outputs, inputs) = next(iter(self._shapes.items()))
        factors = {name: (torch.zeros(1, inputs), torch.zeros(outputs, 1))}
        target = name.rpartition(".")[2]
        return self._lend("zeros", LoraAdapter(rank=1, alpha=1.0, targets=(target,), is_transposed=False, factors=factors))

    def _lend(self, sha256: str, adapter: LoraAdapter) -> HeldAdapter:
        held = self._held.pop(sha256, None)
        if held is None:
            folder = self.folder / sha256
            write_adapter(folder, adapter)
            held = HeldAdapter(sha256=sha256, lora=self._load(sha256, folder), folder=folder)
        self._held[sha256] = held  # at the end: the one used last
        held.num_users += 1
        return held

    def give_back(self, held: HeldAdapter) -> None:
        """End one use."""
        held.num_users -= 1
        assert held.num_users >= 0, held.sha256
        idle = [other for other in self._held.values() if other.num_users == 0]
        for other in idle[: max(0, len(idle) - _MAX_IDLE)]:
            self._unload(other)

    def unload_idle(self) -> None:
        """Unload what nobody uses."""
        for held in [held for held in self._held.values() if held.num_users == 0]:
            self._unload(held)

    def close(self) -> None:
        """Remove everything from disk. Idempotent."""
        self._held.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _load(self, name: str, folder: Path) -> Any:
        """Have vLLM load a folder at once, so that what it refuses fails this request and no other."""
        from vllm.lora.request import LoRARequest

        self._last_id += 1
        lora = LoRARequest(name, self._last_id, str(folder))
        try:
            is_loaded = self._vllm.add_lora(lora)
        except EngineDiedError:
            raise
        except (ValueError, RuntimeError, KeyError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise ReceiptError(f"vLLM refused an adapter: {' '.join(str(error).split())[:400]}") from error
        if not is_loaded:
            raise ReceiptError(f"vLLM did not load adapter {name[:12]} and gave no reason")
        return lora

    def _unload(self, held: HeldAdapter) -> None:
        del self._held[held.sha256]
        self._vllm.remove_lora(held.lora.lora_int_id)
        shutil.rmtree(held.folder, ignore_errors=True)
