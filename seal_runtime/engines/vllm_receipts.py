"""What proves that vLLM answered with an adapter: a probe of its own log-probabilities, with and without it.

vLLM ignores tensors that it cannot place without a word, and a slot that was not loaded answers as the base does; the probe sees both.
Its results depend on the batch to rounding, so a change within rounding proves nothing.
"""

import math
from collections.abc import Mapping
from typing import Any

ROUNDING = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest change (nats) of a likely token's log-probability that rounding alone explains, by precision."""


def first_logprobs(output: Any) -> dict[int, float]:
    """Return the log-probabilities of the most probable tokens right after the prompt."""
    return {int(token): float(entry.logprob) for token, entry in output.outputs[0].logprobs[0].items()}


def probe_delta(adapted: Mapping[int, float], plain: Mapping[int, float]) -> float:
    """Return the largest change (nats) among the listed tokens.

    A token that only one side lists is on the other side at most as probable as the least that it lists: a lower bound counts.
    """
    largest = 0.0
    for one, other in ((adapted, plain), (plain, adapted)):
        least = min(other.values())
        changes = (abs(logprob - other[token]) if token in other else logprob - least for token, logprob in one.items())
        largest = max(largest, *(change for change in changes if math.isfinite(change)), 0.0)
    return largest
