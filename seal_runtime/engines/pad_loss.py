"""How much of the padding counts: the published code pads every text to the maximal length with end tokens and leaves them in the loss.

    none        the loss covers the text alone
    eos         ... and one end token after it
    full        ... and every further end token up to the maximal length: the published arithmetic
    sampled:M   `full` in expectation: in each step M padding positions of each text, drawn without replacement and weighted up

The mean is over all loss tokens that the mode has (in `sampled` over those of `full`). No token attends to padding, and padding
attends to the text alone, as an attention mask makes it; that is why positions can be drawn.
"""

import re
from dataclasses import dataclass

from seal_runtime.errors import AdaptError

_SAMPLED = re.compile(r"sampled:([1-9][0-9]{0,3})")
ALL = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PadLoss:
    """A mode. `keeps_end`: the text's end token is a token of its own; `max_positions` of the padding carry loss in a step."""

    keeps_end: bool
    max_positions: int


def parse_pad_loss(text: str) -> PadLoss:
    """Return the mode that `trainer.pad_loss` names. Raises AdaptError for an unknown one."""
    if text in ("none", "eos"):
        return PadLoss(keeps_end=text == "eos", max_positions=0)
    if text == "full":
        return PadLoss(keeps_end=False, max_positions=ALL)
    match = _SAMPLED.fullmatch(text)
    if match is None:
        raise AdaptError(f"expected trainer.pad_loss to be none, eos, full or sampled:M (M from 1 to 9999), got {text!r}")
    return PadLoss(keeps_end=False, max_positions=int(match[1]))
