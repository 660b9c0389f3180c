"""What vLLM's engine must know of a model beside its weights: tokens in and out, and which layers an adapter may name.

Invariant: prompts, limits and texts are those of the transformers engine, so that both engines read and answer the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from seal_runtime.engines.model_loading import LoadedModel, resolve_model_path
from seal_runtime.engines.training_sequences import encode_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPrompts:
    """Token ids that fit the context together with `max_new_tokens`; `num_truncated` tokens were cut away at the left."""

    prompts: tuple[list[int], ...]
    max_new_tokens: int
    num_truncated: int


def load_skeleton(path: str, revision: str | None, context_length: int) -> LoadedModel:
    """Return a model without weights (on the meta device) and its tokenizer. Raises what transformers raises."""
    folder = resolve_model_path(path)
    config = AutoConfig.from_pretrained(folder, revision=revision)
    tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    stops = {tokenizer.eos_token_id, *_as_ids(config.eos_token_id), *_as_ids(_generation_stops(folder, revision))} - {None}
    assert stops, f"model {path!r} names no end-of-sequence token"
    eos_token_id = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(stops)
    return LoadedModel(
        name=path,
        model=model,
        tokenizer=tokenizer,
        context_length=context_length,
        eos_token_id=int(eos_token_id),
        stop_token_ids=frozenset(int(token) for token in stops),
        device=torch.device("cpu"),
    )


def linear_shapes(model: Any) -> dict[str, tuple[int, int]]:
    """Return (outputs, inputs) of every linear layer by name."""
    shapes = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.dim() == 2 and not isinstance(module, torch.nn.Embedding):
            outputs, inputs = weight.shape if isinstance(module, torch.nn.Linear) else weight.t().shape
            shapes[name] = (int(outputs), int(inputs))
    return shapes


def newline_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens whose text holds a newline: each of them ends an answer."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return tuple(token for token, text in enumerate(texts) if "\n" in text)


def fit_prompts(loaded: LoadedModel, prompts: Sequence[str], max_new_tokens: int) -> FittedPrompts:
    """Encode prompts, cut and clipped as the transformers engine does (`GenerationJob`)."""
    whole = [encode_prompt(loaded, prompt) or [loaded.eos_token_id] for prompt in prompts]
    longest = max(map(len, whole))
    limit = min(max_new_tokens, max(loaded.context_length - longest, loaded.context_length // 2))
    cut = tuple(ids[-(loaded.context_length - limit) :] for ids in whole)
    truncated = sum(len(ids) - len(kept) for ids, kept in zip(whole, cut, strict=True))
    return FittedPrompts(prompts=cut, max_new_tokens=limit, num_truncated=truncated)


def decode(loaded: LoadedModel, token_ids: Iterable[int]) -> str:
    """Return the text of generated tokens without the end-of-sequence token."""
    ids = list(token_ids)
    if ids and ids[-1] in loaded.stop_token_ids:
        ids.pop()
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True))


def _generation_stops(folder: str, revision: str | None) -> int | list[int] | None:
    try:
        stops: int | list[int] | None = GenerationConfig.from_pretrained(folder, revision=revision).eos_token_id
    except OSError:  # the file is optional
        return None
    return stops


def _as_ids(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
