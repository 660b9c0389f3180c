"""How a call on a stack is written, in messages, logs and problems: `file:line function`, the last two parts of the path.

Enough to find the place, and nothing of a host's folders.
"""

from pathlib import PurePath

MAX_CALLS = 60
"""Innermost calls of a stack that are kept."""


def call_text(path: str, line: int | str, function: str) -> str:
    """Return one call as text."""
    return f"{'/'.join(PurePath(path).parts[-2:])}:{line} {function}"
