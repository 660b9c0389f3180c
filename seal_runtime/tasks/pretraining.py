"""What a pretraining corpus is made of, whatever the world it speaks of."""

from dataclasses import dataclass
from typing import Protocol


class PretrainingDocument(Protocol):
    """A text in parts, each tokenised by itself; the flag says whether the loss covers the part."""

    @property
    def parts(self) -> tuple[tuple[str, bool], ...]:
        """Return (text, bears loss) of each part."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingText:
    """A document that is nothing but its parts."""

    parts: tuple[tuple[str, bool], ...]
