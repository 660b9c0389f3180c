"""Prompts with instructions for the system role: one text on the wire, two turns for a model that speaks chat.

A prompt that begins with SYSTEM_MARK holds the instructions up to the next SYSTEM_MARK and then the user's request. A model without
chat reads both as one text. Any other prompt is a request alone, whatever else it contains.
"""

SYSTEM_MARK = "\x1e"


def with_system(instructions: str, request: str) -> str:
    """Return one prompt of instructions for the system role and a user's request."""
    assert SYSTEM_MARK not in instructions, "the mark ends the instructions"
    return f"{SYSTEM_MARK}{instructions}{SYSTEM_MARK}{request}"


def split_system(prompt: str) -> tuple[str, str]:
    """Return the instructions ("" for a prompt without) and the request."""
    if not prompt.startswith(SYSTEM_MARK):
        return "", prompt
    instructions, _, request = prompt[len(SYSTEM_MARK) :].partition(SYSTEM_MARK)
    return instructions, request


def plain_prompt(prompt: str) -> str:
    """Return the prompt as a model without chat reads it, and people."""
    return "".join(split_system(prompt))
