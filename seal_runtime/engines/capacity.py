"""How many adapters fit on a device at once, estimated from its free memory: `trainer.max_concurrent_adapters: auto`.

    an adapter:  18 bytes a weight (float32 weight, gradient, two moments; a copy in the precision of the base)
    a token:     what the backward pass keeps, about 10 H + 4 I numbers a layer (H hidden, I intermediate width)

Each adapter is given a step of TOKENS_A_STEP tokens; what is left of the memory then bounds the tokens of a packed step.
"""

from dataclasses import dataclass

BYTES_A_WEIGHT = 18
TOKENS_A_STEP = 256
"""Nearly every text of the published self-edits is shorter (median 32, 99th percentile 293)."""
SLOTS_ON_CPU = 16
MAX_SLOTS = 64
"""Beyond it neither a 1B nor a 7B model gets faster (docs/performance.md)."""
_USABLE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Adapters at once, and the tokens of one packed step."""

    num_slots: int
    max_tokens_per_step: int


def bytes_a_token(*, num_layers: int, hidden_size: int, intermediate_size: int, bytes_a_number: int) -> int:
    """Return what a training pass keeps for a token."""
    return num_layers * (10 * hidden_size + 4 * intermediate_size) * bytes_a_number


def capacity_of(*, free_bytes: int, num_adapter_weights: int, token_bytes: int, max_tokens_per_step: int) -> Capacity:
    """Return what fits into `free_bytes` beside the base model: at least one adapter, at most `max_tokens_per_step`."""
    usable = int(_USABLE * free_bytes)
    adapter_bytes = BYTES_A_WEIGHT * num_adapter_weights
    slots = max(1, min(MAX_SLOTS, usable // (adapter_bytes + TOKENS_A_STEP * token_bytes)))
    tokens = (usable - slots * adapter_bytes) // token_bytes
    return Capacity(num_slots=slots, max_tokens_per_step=max(TOKENS_A_STEP, min(max_tokens_per_step, tokens)))
