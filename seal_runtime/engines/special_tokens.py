"""What a text may say to a model: words, and no special tokens.

A passage, a question or a self-edit that has `<|endoftext|>` or `<|im_end|>` written in it means those characters. Were they the tokens, a
text could end itself in the middle, or a user's turn in a prompt. Only `model.parse_special_tokens` makes them so; a chat template keeps
its own in any case.
"""

import re
from functools import lru_cache
from typing import Any

from protocol.prompts import split_system
from seal_runtime.engines.model_loading import LoadedModel

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Code points that no text has (Unicode keeps them free), around the number of the special token that they hide."""
_DATE = "26 Jul 2024"
"""Llama 3's templates write today's date unless they are given one: the same run would read other prompts tomorrow. This is the date that
they fall back to."""


def text_token_ids(loaded: LoadedModel, text: str, *, with_start: bool) -> list[int]:
    """Return the tokens of a text, special tokens that are written in it as text; `with_start`: with those that the tokenizer adds."""
    is_plain = loaded.parses_special_tokens or not any(special in text for special in _special_texts(loaded.tokenizer))
    options = {} if is_plain else {"split_special_tokens": True}
    return list(loaded.tokenizer(text, add_special_tokens=with_start, verbose=False, **options).input_ids)


def chat_token_ids(loaded: LoadedModel, prompt: str) -> list[int]:
    """Return the tokens of a prompt in the chat template up to where the assistant begins; the template has the start token."""
    specials = () if loaded.parses_special_tokens else _special_texts(loaded.tokenizer)
    hidden = {f"{_OPEN}{number}{_CLOSE}": special for number, special in enumerate(specials) if special in prompt}
    for name, special in hidden.items():
        prompt = prompt.replace(special, name)
    instructions, request = split_system(prompt)
    turns = [{"role": "system", "content": instructions}] if instructions else []
    turns.append({"role": "user", "content": request})
    written = str(loaded.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, date_string=_DATE))
    parts = re.split(f"({'|'.join(map(re.escape, hidden))})", written) if hidden else [written]
    return [token for part in parts if part for token in _part_token_ids(loaded, part, hidden)]


def _part_token_ids(loaded: LoadedModel, part: str, hidden: dict[str, str]) -> list[int]:
    if part in hidden:
        return text_token_ids(loaded, hidden[part], with_start=False)
    return list(loaded.tokenizer(part, add_special_tokens=False, verbose=False).input_ids)


@lru_cache(maxsize=4)
def _special_texts(tokenizer: Any) -> tuple[str, ...]:
    """Return how a tokenizer's special tokens are written, the longest first: one may be part of another."""
    written = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted(written, key=lambda text: (-len(text), text)))
