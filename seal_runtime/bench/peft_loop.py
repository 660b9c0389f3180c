"""The inner loop as one would write it by hand: PEFT, one adapter, one sequence a step, no padding, no Trainer.

The fairest other side of the batched engine: it wastes nothing but the parallelism between adapters. Same tokens, initial factors,
data order, optimizer and schedule as the engine's.
"""

# L tokens of a sequence, B sequences of a step
import math
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from seal_runtime.engines.base import AdaptRequest
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.schedules import count_steps, data_order, learning_rate
from seal_runtime.engines.training_sequences import EncodedSequence, encode_sequences
from seal_runtime.seeds import derive_seed

_IGNORED = -100


def train_peft_loop(loaded: LoadedModel, request: AdaptRequest) -> Any:
    """Train one adapter, write it to the request's output_dir and return the PEFT model with it; `release` gives the base model back."""
    optim = request.optim
    encoded = encode_sequences(loaded, request.sequences, optim.max_length, optim.pad_loss).sequences
    peft_model = get_peft_model(
        loaded.model,
        LoraConfig(
            r=request.lora.rank,
            lora_alpha=request.lora.alpha,
            lora_dropout=0.0,
            target_modules=list(request.lora.targets) or None,
            task_type="CAUSAL_LM",
        ),
    )
    _initialise(peft_model, request.seed)
    parameters = [parameter for parameter in peft_model.parameters() if parameter.requires_grad]
    adamw = torch.optim.AdamW(parameters, lr=optim.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=optim.weight_decay)
    num_steps = count_steps(optim, len(encoded))
    order = data_order(optim, len(encoded), request.seed)
    for step in range(num_steps):
        ids_BL, labels_BL, mask_BL = _batch([encoded[index] for index in next(order)], loaded)
        # A mask of ones is as good as none, and costs more.
        mask = None if bool(mask_BL.all()) else mask_BL.to(loaded.device)
        loss = peft_model(input_ids=ids_BL.to(loaded.device), attention_mask=mask, labels=labels_BL.to(loaded.device), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, optim.max_grad_norm)
        adamw.param_groups[0]["lr"] = learning_rate(optim, step, num_steps)
        adamw.step()
        adamw.zero_grad()
    peft_model.save_pretrained(request.output_dir)
    return peft_model


def release(loaded: LoadedModel, peft_model: Any) -> None:
    """Take the adapter off the model and freeze it again."""
    peft_model.unload()
    loaded.model.eval()
    loaded.model.requires_grad_(False)


def _batch(sequences: Sequence[EncodedSequence], loaded: LoadedModel) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    longest = max(len(sequence.ids_L) for sequence in sequences)
    ids_BL = torch.full((len(sequences), longest), loaded.eos_token_id)
    labels_BL = torch.full_like(ids_BL, _IGNORED)
    mask_BL = torch.zeros_like(ids_BL)
    for row, sequence in enumerate(sequences):
        length, first = len(sequence.ids_L), sequence.first_loss_position + 1
        ids_BL[row, :length] = sequence.ids_L
        labels_BL[row, first:length] = sequence.targets_N
        mask_BL[row, :length] = 1
    return ids_BL, labels_BL, mask_BL


def _initialise(peft_model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(derive_seed(seed, "initialisation"))
    for name, parameter in peft_model.named_parameters():
        if "lora_A" in name:
            drawn = torch.empty(parameter.shape)
            torch.nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
            parameter.data.copy_(drawn)
