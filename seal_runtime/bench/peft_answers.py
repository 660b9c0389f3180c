"""Answering as one would do it by hand: `generate` of transformers over all questions of one edit, padded at the left, greedy."""

# N prompts, L tokens of the longest
from typing import Any

import torch

from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.training_sequences import encode_prompt


def answer_with_generate(loaded: LoadedModel, model: Any, prompts: tuple[str, ...], max_new_tokens: int) -> list[str]:
    """Return the answers, up to the end-of-sequence token or the first newline, as the engine gives them."""
    generated = generate_greedily(loaded, model, prompts, max_new_tokens)
    texts = loaded.tokenizer.batch_decode(generated, skip_special_tokens=True)
    return [text.partition("\n")[0].strip() for text in texts]


def generate_greedily(loaded: LoadedModel, model: Any, prompts: tuple[str, ...], max_new_tokens: int) -> list[list[int]]:
    """Return the tokens generated for each prompt, the one that ended it included."""
    encoded = [encode_prompt(loaded, prompt) for prompt in prompts]
    longest = max(map(len, encoded))
    ids_NL = torch.tensor([[loaded.eos_token_id] * (longest - len(ids)) + ids for ids in encoded], device=loaded.device)
    mask_NL = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in encoded], device=loaded.device)
    stops = sorted({*loaded.stop_token_ids, *_newline(loaded)})
    with torch.no_grad():
        output_NL = model.generate(
            input_ids=ids_NL,
            attention_mask=mask_NL,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stops,
            pad_token_id=loaded.eos_token_id,
        )
    return [_up_to_stop(ids, stops) for ids in output_NL[:, longest:].tolist()]


def _up_to_stop(ids: list[int], stops: list[int]) -> list[int]:
    end = next((index + 1 for index, token in enumerate(ids) if token in stops), len(ids))
    return ids[:end]


def _newline(loaded: LoadedModel) -> list[int]:
    ids = loaded.tokenizer("\n", add_special_tokens=False).input_ids
    return list(ids) if len(ids) == 1 else []
