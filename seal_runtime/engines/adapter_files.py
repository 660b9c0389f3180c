"""Adapters as PEFT directories: `adapter_config.json` and `adapter_model.safetensors`.

Invariant: the same adapter always gives the same bytes (no path, no time, sorted keys), so its SHA-256 names its content. What is
read is checked: plain LoRA, known names, matching shapes, finite numbers.
"""

# R rank, I inputs, O outputs of a layer
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from seal_runtime.errors import ReceiptError, StoreError
from seal_runtime.store.adapters import ADAPTER_FILES, CONFIG_FILE, TENSOR_FILE

_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_UNSUPPORTED = ("use_rslora", "use_dora", "lora_bias", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraAdapter:
    """A LoRA adapter in memory. `factors` maps a module's full name to (A [R, I], B [O, R]) in float32."""

    rank: int
    alpha: float
    targets: tuple[str, ...]
    is_transposed: bool
    factors: Mapping[str, tuple[torch.Tensor, torch.Tensor]]

    @property
    def scale(self) -> float:
        """Return what the product of the factors is multiplied by."""
        return self.alpha / self.rank


def write_adapter(folder: Path, adapter: LoraAdapter) -> None:
    """Write a PEFT directory. Raises StoreError when the disk refuses. `is_transposed` says that the base has Conv1D layers."""
    tensors = {}
    for name, (a_RI, b_OR) in adapter.factors.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = a_RI.detach().float().cpu().contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = b_OR.detach().float().cpu().contiguous()
    config = {
        "base_model_name_or_path": None,
        "bias": "none",
        "fan_in_fan_out": adapter.is_transposed,
        "inference_mode": True,
        "lora_alpha": int(adapter.alpha) if float(adapter.alpha).is_integer() else adapter.alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": adapter.rank,
        "target_modules": sorted(adapter.targets),
        "task_type": "CAUSAL_LM",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        save_file(tensors, folder / TENSOR_FILE, metadata={"format": "pt"})  # `save` would hold the interpreter's lock meanwhile
        (folder / TENSOR_FILE).chmod((folder / CONFIG_FILE).stat().st_mode & 0o777)  # `save_file` lets nobody else read
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"cannot write the adapter to {folder}: {reason}; is the disk full or read-only?") from error


def read_adapter(folder: Path) -> LoraAdapter:
    """Read and check a PEFT directory. Raises StoreError."""
    return read_adapter_with_hash(folder)[0]


def read_adapter_with_hash(folder: Path) -> tuple[LoraAdapter, str]:
    """Read a PEFT directory and hash the very bytes that were read, as `store.adapters.adapter_sha256` does. Raises StoreError."""
    digest = hashlib.sha256()
    contents = {}
    for name in ADAPTER_FILES:
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise StoreError(
                f"expected a PEFT adapter with {' and '.join(ADAPTER_FILES)} in {folder}, but {name}: {error.strerror}"
            ) from error
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
        contents[name] = data
    try:
        config, tensors = json.loads(contents[CONFIG_FILE]), load(contents[TENSOR_FILE])
    except (ValueError, SafetensorError) as error:
        raise StoreError(f"the PEFT adapter in {folder} is corrupt: {error}") from error
    return _decode(folder, config, tensors), digest.hexdigest()


def check_fits(adapter: LoraAdapter, shapes: Mapping[str, tuple[int, int]], origin: str) -> None:
    """Check an adapter against the (outputs, inputs) of a model's layers. Raises ReceiptError: it would have no or another effect."""
    if not adapter.factors:
        raise ReceiptError(f"adapter {origin} holds no LoRA tensor: it would have no effect")
    for name, (a_RI, b_OR) in adapter.factors.items():
        if name not in shapes:
            raise ReceiptError(
                f"adapter {origin} adapts {name!r}, which is no linear layer of this model: was it trained on another model?"
            )
        outputs, inputs = shapes[name]
        if a_RI.shape != (adapter.rank, inputs) or b_OR.shape != (outputs, adapter.rank):
            raise ReceiptError(
                f"adapter {origin} has shapes {tuple(a_RI.shape)} and {tuple(b_OR.shape)} for {name!r}, "
                f"expected {(adapter.rank, inputs)} and {(outputs, adapter.rank)}"
            )


def _decode(folder: Path, config: Any, tensors: Mapping[str, torch.Tensor]) -> LoraAdapter:
    if not isinstance(config, dict) or config.get("peft_type") != "LORA" or not isinstance(config.get("r"), int):
        raise StoreError(f"{folder / CONFIG_FILE} is not the config of a LoRA adapter")
    odd = [key for key in _UNSUPPORTED if config.get(key)]
    if odd or config.get("bias", "none") != "none":
        raise StoreError(f"{folder / CONFIG_FILE} asks for {', '.join(odd) or 'bias'}: only plain LoRA is supported")
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in sorted(tensors.items()):
        match = _KEY.fullmatch(key)
        if match is None:
            raise StoreError(f"{folder / TENSOR_FILE} holds {key!r}, which is no LoRA factor of a linear layer")
        if not bool(tensor.isfinite().all()):
            raise StoreError(f"{folder / TENSOR_FILE} holds numbers that are not finite in {key!r}")
        parts.setdefault(match[1], {})[match[2]] = tensor.float()
    lone = [name for name, pair in parts.items() if len(pair) != 2]
    if lone:
        raise StoreError(f"{folder / TENSOR_FILE} holds only one of the two LoRA factors of {lone[0]!r}")
    targets = config.get("target_modules") or []
    return LoraAdapter(
        rank=config["r"],
        alpha=float(config.get("lora_alpha") or config["r"]),
        targets=tuple(sorted([targets] if isinstance(targets, str) else targets)),
        is_transposed=bool(config.get("fan_in_fan_out", False)),
        factors={name: (pair["A"], pair["B"]) for name, pair in parts.items()},
    )
