"""What vLLM's engine must know of a model beside its weights: tokens in and out, and which layers an adapter may name.

Invariant: texts are those of the transformers engine (prompts and limits come from `prompt_fitting`), so that both engines answer the same.
"""

from collections.abc import Iterable
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from seal_runtime.engines.model_loading import LoadedModel, as_token_ids, resolve_model_path


def load_skeleton(path: str, revision: str | None, context_length: int) -> LoadedModel:
    """Return a model without weights (on the meta device) and its tokenizer. Raises what transformers raises."""
    folder = resolve_model_path(path)
    config = AutoConfig.from_pretrained(folder, revision=revision)
    tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    stops = {tokenizer.eos_token_id, *as_token_ids(config.eos_token_id), *as_token_ids(_generation_stops(folder, revision))} - {None}
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


class AnswerStops:
    """The tokens that end an answer, sorted: the model's own, and those whose text holds the stop character."""

    def __init__(self, tokenizer: Any, stop_token_ids: Iterable[int]) -> None:
        self._texts: list[str] = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        self._own = tuple(stop_token_ids)
        self._known: dict[str, list[int]] = {}

    def tokens(self, stop: str) -> list[int]:
        """Return the tokens for a stop character; "" is none."""
        if stop not in self._known:
            holding = [token for token, text in enumerate(self._texts) if stop in text] if stop else []
            self._known[stop] = sorted({*self._own, *holding})
        return self._known[stop]


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
