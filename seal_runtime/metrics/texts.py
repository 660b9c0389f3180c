"""How diverse and how long the self-edits of a study are, counted as they come in, so that no text is kept."""

from dataclasses import dataclass
from itertools import pairwise

MAX_BIGRAMS = 500_000
"""Bigrams counted of one study, so that a long run of long edits does not fill the controller's memory. What comes after is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFigures:
    """Figures of the self-edits that a study wrote. Shares are in [0, 1].

    `unique_share` is the number of different texts over the number of texts, compared within a context; `distinct_bigrams` the number
    of different pairs of neighbouring words over the number of pairs, over the whole study (distinct-2 of Li et al., 2016; None when no
    text has two words; it falls as a study grows and as a policy learns a format); `cut_share` the share that ended at the token limit.
    """

    num_written: int
    unique_share: float
    distinct_bigrams: float | None
    mean_tokens: float
    mean_characters: float
    cut_share: float


class TextCounter:
    """Takes in self-edits one by one."""

    def __init__(self) -> None:
        self._num_written = 0
        self._num_tokens = 0
        self._num_characters = 0
        self._num_cut = 0
        self._num_bigrams = 0
        self._kinds: set[int] = set()
        self._bigrams: set[int] = set()

    def add(self, context_id: str, text: str, num_tokens: int, *, is_cut: bool) -> None:
        """Count one self-edit of a context; white space at its ends does not make it another text."""
        self._num_written += 1
        self._num_tokens += num_tokens
        self._num_characters += len(text)
        self._num_cut += is_cut
        self._kinds.add(hash((context_id, text.strip())))
        words = text.split()
        for pair in pairwise(words):
            if self._num_bigrams == MAX_BIGRAMS:
                break
            self._num_bigrams += 1
            self._bigrams.add(hash(pair))

    def figures(self) -> TextFigures | None:
        """Return the figures so far, None before the first self-edit."""
        if not self._num_written:
            return None
        return TextFigures(
            num_written=self._num_written,
            unique_share=len(self._kinds) / self._num_written,
            distinct_bigrams=len(self._bigrams) / self._num_bigrams if self._num_bigrams else None,
            mean_tokens=self._num_tokens / self._num_written,
            mean_characters=self._num_characters / self._num_written,
            cut_share=self._num_cut / self._num_written,
        )
