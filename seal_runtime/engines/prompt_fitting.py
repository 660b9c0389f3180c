"""Fit prompts into a model's context: the one rule that every generation engine cuts by."""

from collections.abc import Sequence
from dataclasses import dataclass

from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.training_sequences import encode_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPrompts:
    """Token ids that fit the context together with `max_new_tokens`; `num_truncated` tokens were cut away at the left."""

    prompts: tuple[list[int], ...]
    max_new_tokens: int
    num_truncated: int


def fit_prompts(loaded: LoadedModel, prompts: Sequence[str], max_new_tokens: int) -> FittedPrompts:
    """Encode prompts; what is asked for is clipped to what the longest leaves of the context, though not below half of it."""
    whole = [encode_prompt(loaded, prompt) or [loaded.eos_token_id] for prompt in prompts]
    longest = max(map(len, whole))
    limit = min(max_new_tokens, max(loaded.context_length - longest, loaded.context_length // 2))
    cut = tuple(ids[-(loaded.context_length - limit) :] for ids in whole)
    truncated = sum(len(ids) - len(kept) for ids, kept in zip(whole, cut, strict=True))
    return FittedPrompts(prompts=cut, max_new_tokens=limit, num_truncated=truncated)
