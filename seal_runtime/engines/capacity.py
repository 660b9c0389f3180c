"""What fits into the memory of a device, in bytes. All of it is estimated from shapes before anything is trained.

    an adapter   16 bytes a weight (float32 weight, gradient, two moments) and, where the base multiplies all rows at once (CUDA), a copy
                 in the precision of the base with its gradient: 20 bytes with bfloat16
    a token      what the backward pass keeps: at most 14 H + 4 I numbers a block, and 4 H + 4 I for the ends of the model and the block at
                 work; with activation checkpointing H a block and those of one block, which exist while it is recomputed (H hidden, I
                 intermediate width; Llama has 10 H in float32, the float32 norms of bfloat16 and GPT-2's activation take more)
    the loss     12 bytes (float32 log-probabilities, and two gradients) for each of the V tokens of the vocabulary, for the positions of
                 one chunk

The cap on the tokens of a pass and the chunk are fixed once, so that how a step is split never depends on what else is being trained; the
rest of the memory is for adapters.
"""

from dataclasses import dataclass

from seal_runtime.errors import ConfigError

TOKENS_A_STEP = 256
"""Nearly every text of the published self-edits is shorter (median 32, 99th percentile 293)."""
SLOTS_ON_CPU = 16
MAX_SLOTS = 64
"""Beyond it neither a 1B nor a 7B model gets faster (docs/performance.md)."""
MIN_LOSS_CHUNK = 64
_STATE_BYTES = 16
_LOGIT_BYTES = 12
_LOGITS_ON_CPU, _LOGITS_ON_GPU = 1 << 18, 1 << 27
_USABLE, _LOSS_SHARE = 0.9, 0.1
_GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What the memory of a training pass depends on."""

    num_layers: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    bytes_a_number: int

    def token_bytes(self, activation_checkpointing: bool) -> int:
        """Return what a training pass keeps for a token."""
        block, ends = (count * self.hidden_size + 4 * self.intermediate_size for count in (14, 4))
        blocks = self.num_layers * self.hidden_size + block if activation_checkpointing else self.num_layers * block
        return (blocks + ends) * self.bytes_a_number

    def loss_bytes(self, chunk_tokens: int) -> int:
        """Return what the logits of a chunk take."""
        return chunk_tokens * self.vocab_size * _LOGIT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Adapters at once, the tokens of one packed pass, the positions of one chunk of the loss, and the bytes for adapters (None: any)."""

    num_slots: int
    max_tokens_per_step: int
    loss_chunk_tokens: int
    max_adapter_bytes: int | None


def adapter_bytes(num_weights: int, bytes_of_copy: int) -> int:
    """Return what an adapter in training takes; `bytes_of_copy` a weight in the base's precision, 0 where none is made."""
    return num_weights * (_STATE_BYTES + 2 * bytes_of_copy)


def loss_chunk(asked: int, vocab_size: int, usable_bytes: int | None = None) -> int:
    """Return the positions whose logits exist at once: as asked, or for 0 what a quarter of a million logits hold on CPU
    (they stay in its cache) and 128 million on a GPU.

    `usable_bytes` is the memory of a GPU (None: CPU), of which logits then take at most a tenth.
    """
    if asked:
        return asked
    logits = _LOGITS_ON_CPU if usable_bytes is None else min(_LOGITS_ON_GPU, int(_LOSS_SHARE * usable_bytes) // _LOGIT_BYTES)
    return max(MIN_LOSS_CHUNK, logits // vocab_size)


def capacity_on_cpu(num_slots: int, max_tokens_per_step: int, loss_chunk_tokens: int, vocab_size: int) -> Capacity:
    """Return what was asked for, with 0 slots or chunk tokens as on CPU; main memory is not measured."""
    return Capacity(
        num_slots=num_slots or SLOTS_ON_CPU,
        max_tokens_per_step=max_tokens_per_step,
        loss_chunk_tokens=loss_chunk(loss_chunk_tokens, vocab_size),
        max_adapter_bytes=None,
    )


def capacity_of(
    *,
    free_bytes: int,
    num_adapter_weights: int,
    num_large_weights: int,
    shape: ModelShape,
    num_slots: int,
    max_tokens_per_step: int,
    loss_chunk_tokens: int,
    activation_checkpointing: bool,
) -> Capacity:
    """Return what fits into `free_bytes` beside the base model; 0 slots or chunk tokens are chosen.

    Each adapter is given a step of TOKENS_A_STEP tokens (fewer slots when chosen); the tokens of a pass are lowered to what is left. An
    adapter of `num_large_weights` fits too while no other is at work (a policy update; 0 for none), so that no run finds after its first
    round that it cannot go on. Raises ConfigError when not even one short step of the adapters fits.
    """
    usable = int(_USABLE * free_bytes)
    chunk = loss_chunk(loss_chunk_tokens, shape.vocab_size, usable)
    token, one = shape.token_bytes(activation_checkpointing), adapter_bytes(num_adapter_weights, shape.bytes_a_number)
    room = usable - shape.loss_bytes(chunk)
    slots = num_slots or max(1, min(MAX_SLOTS, room // (one + TOKENS_A_STEP * token)))
    large = adapter_bytes(num_large_weights, shape.bytes_a_number)
    tokens = min(max_tokens_per_step, (room - max(slots * one, large)) // token)
    if tokens < min(TOKENS_A_STEP, max_tokens_per_step):
        advice = "" if activation_checkpointing else "set trainer.activation_checkpointing to true, "
        adapters = f"{slots} adapter(s) of {num_adapter_weights:,} weights take {slots * one / _GIB:.2f} GiB"
        ranks = "trainer.max_concurrent_adapters, trainer.lora.rank"
        if large > slots * one:
            adapters = f"the adapter of a policy update, {num_large_weights:,} weights, takes {large / _GIB:.2f} GiB"
            ranks = "algorithm.lora.rank (evaluation.cpt.lora.rank)"
        raise ConfigError(
            f"{usable / _GIB:.2f} GiB of the device can be used beside the model, but {adapters}, the logits of {chunk} positions "
            f"{shape.loss_bytes(chunk) / _GIB:.2f} GiB and a step of {TOKENS_A_STEP} tokens {TOKENS_A_STEP * token / _GIB:.2f} GiB: "
            f"{advice}lower {ranks} or trainer.loss_chunk_tokens, or take a smaller model"
        )
    return Capacity(num_slots=slots, max_tokens_per_step=tokens, loss_chunk_tokens=chunk, max_adapter_bytes=room - tokens * token)
