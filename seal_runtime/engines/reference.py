"""The inner loop as the published code does it: PEFT and Hugging Face's Trainer, one adapter at a time.

The oracle of the tests and the other side of the benchmark, never used in a run. It shares with the batched engine only what must be
equal for a comparison: the tokens, the initial factors and the order of the data.
"""

# L tokens
import math
import tempfile
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.utils import logging as transformers_logging

from seal_runtime.engines.base import AdaptRequest
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.schedules import count_steps, data_order
from seal_runtime.engines.training_sequences import EncodedSequence, encode_sequences
from seal_runtime.errors import AdaptError
from seal_runtime.seeds import derive_seed

_IGNORED = -100
_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceOutput:
    """The trained adapter (written to the request's output_dir too), and the loss of every step in nats a token."""

    initial: dict[str, torch.Tensor]
    trained: dict[str, torch.Tensor]
    losses: tuple[float, ...]


def train_reference(loaded: LoadedModel, request: AdaptRequest, pad_to_max_length: bool = False) -> ReferenceOutput:
    """Train one adapter on a model that no engine has hooked, and leave the model as it was.

    `pad_to_max_length` is `pad_loss: full` whatever the request says: every sequence is padded with end-of-sequence tokens that stay in
    the loss and that the attention mask hides, as the published code does. Raises AdaptError for what the Trainer has no word for: a
    policy, weighted sequences, sampled padding.
    """
    pad_loss = "full" if pad_to_max_length else request.optim.pad_loss
    if request.policy.adapters or any(sequence.weight != 1.0 for sequence in request.sequences):
        raise AdaptError("the reference trains on the base model with weight 1 for every sequence only")
    if pad_loss.startswith("sampled"):
        raise AdaptError("the reference has no sampled padding: expected trainer.pad_loss none, eos or full")
    transformers_logging.disable_progress_bar()
    encoded = encode_sequences(loaded, request.sequences, request.optim.max_length, pad_loss).sequences
    num_steps = count_steps(request.optim, len(encoded))
    order = data_order(request.optim, len(encoded), request.seed)
    batches = [next(order) for _ in range(num_steps)]
    peft_model = get_peft_model(loaded.model, _lora_config(request))
    _initialise(peft_model, request.seed)
    initial = _factors(peft_model)
    rows = [_features(sequence, loaded.eos_token_id) for sequence in encoded]
    with tempfile.TemporaryDirectory() as folder:
        trainer = _OrderedTrainer(model=peft_model, args=_arguments(request, num_steps, folder, loaded), train_dataset=rows)
        trainer.seal_batches, trainer.seal_pad = batches, loaded.eos_token_id
        trainer.remove_callback(_printer())
        trainer.train()
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    trained = _factors(peft_model)
    peft_model.save_pretrained(request.output_dir)
    peft_model.unload()
    loaded.model.eval()
    loaded.model.requires_grad_(False)
    return ReferenceOutput(initial=initial, trained=trained, losses=losses)


class _OrderedTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that takes the batches it is given, in their order."""

    seal_batches: list[list[int]]
    seal_pad: int

    def get_train_dataloader(self) -> Any:
        """Return the batches."""
        loader = DataLoader(self.train_dataset, batch_sampler=self.seal_batches, collate_fn=self._collate)
        return self.accelerator.prepare(loader)

    def _collate(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": self.seal_pad, "labels": _IGNORED, "attention_mask": 0}
        return {key: torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows]) for key, value in fill.items()}


def _features(sequence: EncodedSequence, end_token_id: int) -> dict[str, list[int]]:
    ids, first = sequence.ids_L.tolist(), sequence.first_loss_position
    num_padding = first + 1 + sequence.num_loss_tokens - len(ids)
    padding = [end_token_id] * num_padding
    labels = [*ids, *padding]
    return {
        "input_ids": labels,
        "labels": [_IGNORED] * (first + 1) + labels[first + 1 :],
        "attention_mask": [1] * len(ids) + [0] * num_padding,
    }


def _lora_config(request: AdaptRequest) -> Any:
    targets = list(request.lora.targets) or None
    return LoraConfig(r=request.lora.rank, lora_alpha=request.lora.alpha, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")


def _initialise(peft_model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(derive_seed(seed, "initialisation"))
    for name, parameter in peft_model.named_parameters():
        if "lora_A" in name:
            torch.nn.init.kaiming_uniform_(parameter.data, a=math.sqrt(5), generator=generator)


def _factors(peft_model: Any) -> dict[str, torch.Tensor]:
    return {name.replace(".default", ""): p.detach().clone() for name, p in peft_model.named_parameters() if "lora_" in name}


def _printer() -> Any:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _arguments(request: AdaptRequest, num_steps: int, folder: str, loaded: LoadedModel) -> Any:
    optim = request.optim
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=optim.batch_size,
        max_steps=num_steps,
        learning_rate=optim.learning_rate,
        lr_scheduler_type=_SCHEDULES[optim.schedule],
        warmup_steps=optim.warmup_steps,
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        use_cpu=loaded.device.type == "cpu",
        disable_tqdm=True,
    )
