"""Whether a model is spoken to in its chat template."""

import re

from seal_runtime.config.topology import ModelConfig

_INSTRUCT = re.compile(r"(?:^|[-_./])(?:instruct|chat|it)(?:$|[-_./])", re.IGNORECASE)


def speaks_chat(model: ModelConfig) -> bool:
    """Say whether prompts are put into the model's chat template; `auto` goes by the name alone.

    Base models have templates too (Qwen2.5's do), so having one says nothing.
    """
    return _INSTRUCT.search(model.path) is not None if model.chat == "auto" else bool(model.chat)
