"""Where an answer ends: the one rule that every generation engine cuts by."""

from seal_runtime.errors import GenerateError


def answer_text(text: str, stop: str) -> str:
    """Return what was generated up to the stop character, without white space around it."""
    return (text.partition(stop)[0] if stop else text).strip()


def check_stop(stop: str) -> None:
    """Refuse a stop that tokens cannot be looked through for one by one. Raises GenerateError."""
    if len(stop) > 1:
        raise GenerateError(f"expected one character that ends an answer, or none, got {stop!r}")
