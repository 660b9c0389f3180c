"""The adapters that vLLM holds: loaded before their first use, unloaded after their last.

Invariant: a name and folder belong to one content for ever. vLLM's prefix cache is keyed by both, and with new weights under an old name
it would serve stale keys silently.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seal_runtime.engines.adapter_files import LoraAdapter, check_fits, read_adapter_with_hash, write_adapter
from seal_runtime.engines.vllm_options import ALLOWED_RANKS
from seal_runtime.errors import GenerateError, ReceiptError

_MAX_IDLE = 4
_PREFIX = "seal-vllm-"
_LOCK_FILE = "lock"


@dataclass(slots=True, kw_only=True)
class HeldAdapter:
    """An adapter that vLLM has loaded. `sha256` is that of the bytes it was read from."""

    sha256: str
    lora: Any
    folder: Path
    num_users: int = 0


class VllmAdapters:
    """Lends loaded adapters; a few that nobody uses are kept, the others are unloaded and removed from disk."""

    def __init__(self, engine: Any, shapes: Mapping[str, tuple[int, int]], max_rank: int) -> None:
        self._engine = engine
        self._shapes = shapes
        self._max_rank = max_rank
        self.folder, self._lock = _make_folder()
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
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _load(self, name: str, folder: Path) -> Any:
        """Have vLLM load a folder at once, so that what it refuses fails this request and no other."""
        from vllm.lora.request import LoRARequest

        self._last_id += 1
        lora = LoRARequest(name, self._last_id, str(folder))
        try:
            is_loaded = self._engine.add_lora(lora)
        except (ValueError, RuntimeError, KeyError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise ReceiptError(f"vLLM refused an adapter: {' '.join(str(error).split())[:400]}") from error
        if not is_loaded:
            raise ReceiptError(f"vLLM did not load adapter {name[:12]} and gave no reason")
        return lora

    def _unload(self, held: HeldAdapter) -> None:
        del self._held[held.sha256]
        self._engine.remove_lora(held.lora.lora_int_id)
        shutil.rmtree(held.folder, ignore_errors=True)


def _memory_folder() -> Path:
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def _make_folder() -> tuple[Path, int]:
    """Return a folder in memory where there is one, and the file descriptor whose lock says that it is in use."""
    root = _memory_folder()
    for folder in root.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(folder)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    lock = os.open(folder / _LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _remove_if_abandoned(folder: Path) -> None:
    """Remove what a process that was killed has left: the kernel has let its lock go."""
    try:
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR)
    except OSError:  # just being made, or another user's
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
