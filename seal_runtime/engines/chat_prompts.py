"""Prompts for an instruct model: the request of a user in the model's own chat template, up to where the assistant begins to speak.

What a model trains on without a prompt (the sequences of the inner loop) stays plain text, as in the paper's experiments; the
completion of a prompt ends with the tokenizer's end-of-sequence token, which closes a turn in chat models.
"""

from dataclasses import replace

from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.errors import ConfigError


def speaking_chat(loaded: LoadedModel, chat: bool) -> LoadedModel:
    """Return the model with its prompts in chat form, or as it is. Raises ConfigError when its tokenizer has no chat template."""
    if not chat:
        return loaded
    if not getattr(loaded.tokenizer, "chat_template", None):
        raise ConfigError(
            f"expected a model with a chat template for model.chat, got {loaded.name!r} whose tokenizer has none; set model.chat=false"
        )
    return replace(loaded, speaks_chat=True)


def chat_prompt_ids(loaded: LoadedModel, request: str) -> list[int]:
    """Return the tokens of a request as the chat template writes it; the template itself holds the start token."""
    text = loaded.tokenizer.apply_chat_template([{"role": "user", "content": request}], tokenize=False, add_generation_prompt=True)
    return list(loaded.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
