"""What the generation benchmark answers with: a model that every engine can load, and adapters with their questions."""

# R rank, I inputs, O outputs of a layer
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from protocol.jobs import LoraSpec, OptimSpec
from seal_runtime.bench.batched_arm import train_all
from seal_runtime.bench.edits import BenchEdit
from seal_runtime.bench.jobs import make_jobs
from seal_runtime.bench.stand_in_tokenizer import with_stand_in_tokenizer
from seal_runtime.engines.adapt import BatchedAdaptEngine
from seal_runtime.engines.adapter_files import LoraAdapter, write_adapter
from seal_runtime.engines.base import AnswerRequest, Policy
from seal_runtime.engines.model_loading import LoadedModel, load_model
from seal_runtime.engines.packed_model import PackedModel
from seal_runtime.errors import ConfigError
from seal_runtime.seeds import derive_seed
from seal_runtime.store.adapters import CONFIG_FILE, TENSOR_FILE

BASE = Policy(version=0, adapters=())
_SLOTS = 16
_DRAWN_SIZE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedEdit:
    """An adapter in a PEFT directory, and the prompts of the questions about its passage."""

    edit_id: str
    folder: Path
    prompts: tuple[str, ...]

    def request(self, max_new_tokens: int) -> AnswerRequest:
        """Return what an evaluator would ask an engine."""
        return AnswerRequest(request_id=self.edit_id, policy=BASE, adapter=self.folder, prompts=self.prompts, max_new_tokens=max_new_tokens)


def write_random_model(name: str, dtype: str, edits: Sequence[BenchEdit], folder: Path) -> str:
    """Write a `random:` model with a stand-in tokenizer to a folder, which vLLM can load, and return it as a model's name."""
    transformers_logging.disable_progress_bar()
    loaded = with_stand_in_tokenizer(load_model(name, dtype), edits)
    for config in (loaded.model.config, loaded.model.generation_config):
        config.eos_token_id = config.bos_token_id = config.pad_token_id = loaded.eos_token_id
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return str(folder)


def train_adapters(
    loaded: LoadedModel, edits: Sequence[BenchEdit], lora: LoraSpec, optim: OptimSpec, max_tokens_per_step: int, folder: Path
) -> None:
    """Train one adapter for each edit, all by the batched engine, into `folder`. The model is hooked afterwards."""
    limited = replace(optim, max_length=min(optim.max_length, loaded.context_length))
    jobs = [job.into(folder) for job in make_jobs(loaded, edits, lora, limited)]
    train_all(BatchedAdaptEngine(loaded, num_slots=_SLOTS, max_tokens_per_step=max_tokens_per_step), jobs, _SLOTS)


def draw_adapters(loaded: LoadedModel, edits: Sequence[BenchEdit], lora: LoraSpec, folder: Path) -> None:
    """Draw one adapter for each edit into `folder`, with an effect that no rounding explains. The model is hooked afterwards."""
    packed = PackedModel(loaded)
    layers = packed.select(lora.targets)
    for edit in edits:
        generator = torch.Generator().manual_seed(derive_seed(0, "bench", "drawn", edit.edit_id))
        factors = {
            layer.name: (
                torch.randn(lora.rank, layer.in_features, generator=generator) / layer.in_features**0.5,
                torch.randn(layer.out_features, lora.rank, generator=generator) * _DRAWN_SIZE / lora.alpha,
            )
            for layer in layers
        }
        targets = packed.resolve_targets(lora.targets)
        adapter = LoraAdapter(rank=lora.rank, alpha=lora.alpha, targets=targets, is_transposed=layers[0].is_transposed, factors=factors)
        write_adapter(folder / edit.edit_id, adapter)


def adapted_edits(edits: Sequence[BenchEdit], folder: Path, num_questions: int | None) -> list[AdaptedEdit]:
    """Return the edits with their adapters in `folder` and at most `num_questions` questions each. Raises ConfigError without any."""
    if not all(edit.prompts for edit in edits):
        raise ConfigError("expected questions about every passage, got a passage without")
    return [AdaptedEdit(edit_id=edit.edit_id, folder=folder / edit.edit_id, prompts=edit.prompts[:num_questions]) for edit in edits]


def unseen_copies(edits: Sequence[AdaptedEdit], folder: Path) -> list[AdaptedEdit]:
    """Return the same adapters with names of their own inside, so that their hashes are new to every engine's caches."""
    copies = [replace(edit, folder=folder / edit.edit_id) for edit in edits]
    for edit, copy in zip(edits, copies, strict=True):
        copy.folder.mkdir(parents=True)
        os.link(edit.folder / TENSOR_FILE, copy.folder / TENSOR_FILE)
        config = json.loads((edit.folder / CONFIG_FILE).read_text(encoding="utf-8"))
        named = config | {"base_model_name_or_path": folder.name}
        (copy.folder / CONFIG_FILE).write_text(json.dumps(named, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return copies
