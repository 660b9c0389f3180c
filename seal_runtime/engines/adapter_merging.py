"""Turn a policy's lineage into something to take away: one adapter of summed rank, or a whole model."""

# R rank, I inputs, O outputs of a layer
from collections.abc import Sequence
from pathlib import Path

import torch

from seal_runtime.engines.adapter_files import LoraAdapter, check_fits, read_adapter
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.policy_folding import folded_weight
from seal_runtime.errors import StoreError


def compose_adapters(adapters: Sequence[LoraAdapter]) -> LoraAdapter:
    """Return one adapter that does what all do together, exactly: the factors side by side, the scales multiplied into B.

    A layer that one of them does not adapt gets zeros in its place.
    """
    rank = sum(adapter.rank for adapter in adapters)
    names = sorted({name for adapter in adapters for name in adapter.factors})
    factors = {}
    for name in names:
        a_1I, b_O1 = next(adapter.factors[name] for adapter in adapters if name in adapter.factors)
        a_RI, b_OR = torch.zeros(rank, a_1I.shape[1]), torch.zeros(b_O1.shape[0], rank)
        start = 0
        for adapter in adapters:
            rows = slice(start, start + adapter.rank)
            if name in adapter.factors:
                a_RI[rows] = adapter.factors[name][0]
                b_OR[:, rows] = adapter.factors[name][1] * adapter.scale
            start += adapter.rank
        factors[name] = (a_RI, b_OR)
    targets = tuple(sorted({target for adapter in adapters for target in adapter.targets}))
    return LoraAdapter(rank=rank, alpha=float(rank), targets=targets, is_transposed=any(a.is_transposed for a in adapters), factors=factors)


def merge_model(model: str, chain: Sequence[Path], folder: Path, dtype: str = "float32", revision: str | None = None) -> None:
    """Write base + chain as a Hugging Face model with its tokenizer. Raises ConfigError, StoreError or ReceiptError."""
    loaded = load_model(model, dtype, revision=revision)
    adapters = [read_adapter(path) for path in chain]
    modules = dict(loaded.model.named_modules())
    shapes = {}
    for name, module in modules.items():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.dim() == 2:
            outputs, inputs = weight.shape if isinstance(module, torch.nn.Linear) else weight.t().shape
            shapes[name] = (int(outputs), int(inputs))
    for adapter, path in zip(adapters, chain, strict=True):
        check_fits(adapter, shapes, str(path))
    for name in {name for adapter in adapters for name in adapter.factors}:
        module = modules[name]
        weight_OI = module.weight.detach() if isinstance(module, torch.nn.Linear) else module.weight.detach().t()
        weight_OI.copy_(folded_weight(weight_OI.clone(), name, adapters))
    try:
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        _follow_umask(folder)
    except OSError as error:
        raise StoreError(f"cannot write the merged model to {folder}: {error}; is the disk full or read-only?") from error


def _follow_umask(folder: Path) -> None:
    """Give the files the mode of any new file: safetensors writes its own for the owner alone. Raises OSError."""
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in folder.iterdir():
        if path.is_file():
            path.chmod(mode)
