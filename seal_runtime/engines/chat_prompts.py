"""How a model is spoken to: its prompts as plain text, or as the request of a user in its own chat template.

A prompt's instructions (`protocol.prompts`) become the system's turn. What a model trains on without a prompt stays plain text, as in
the paper's experiments; the completion of a prompt ends with the tokenizer's end-of-sequence token, which closes a turn in chat models.
"""

from dataclasses import replace

from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.errors import ConfigError


def spoken_to(loaded: LoadedModel, *, chat: bool, parse_special_tokens: bool) -> LoadedModel:
    """Return the model with its prompts in chat form, or as they are. Raises ConfigError when its tokenizer has no chat template."""
    if chat and not getattr(loaded.tokenizer, "chat_template", None):
        raise ConfigError(
            f"expected a model with a chat template for model.chat, got {loaded.name!r} whose tokenizer has none; set model.chat=false"
        )
    return replace(loaded, speaks_chat=chat, parses_special_tokens=parse_special_tokens)
