"""Turn training texts into token ids and loss positions.

A sequence is prompt + completion (+ end-of-sequence token, as the mode of `pad_loss` says); the loss covers the completion and the
end token, or everything after the first token when there is no prompt or it bears loss too. What is longer than the limit is cut and
counted: a prompt loses its beginning, as it did when the completion was generated from it, and whatever is still too long loses its end.
"""

# L tokens of one sequence, N its loss tokens
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from protocol.jobs import TrainingSequence
from protocol.prompts import plain_prompt
from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.pad_loss import parse_pad_loss
from seal_runtime.engines.special_tokens import chat_token_ids, text_token_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSequence:
    """Token i from `first_loss_position` on predicts `targets_N`: token i + 1, and the last one perhaps the padding's first end token.

    `pad_positions` are those whose padding carries loss (predicting the next end token); a step takes `num_pads` of them.
    """

    ids_L: torch.Tensor
    first_loss_position: int
    targets_N: torch.Tensor
    weight: float
    pad_positions: range
    num_pads: int

    @property
    def num_rows(self) -> int:
        """Return the rows that the sequence takes in a step."""
        return len(self.ids_L) + self.num_pads

    @property
    def num_loss_tokens(self) -> int:
        """Return what the loss is a mean over."""
        return len(self.targets_N) + len(self.pad_positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSequences:
    """The sequences that have something to learn, the real tokens of all, and how many were cut."""

    sequences: tuple[EncodedSequence, ...]
    num_tokens: int
    num_truncated: int
    end_token_id: int


def encode_sequences(loaded: LoadedModel, sequences: Sequence[TrainingSequence], max_length: int, pad_loss: str) -> EncodedSequences:
    """Encode the sequences. One without loss tokens (cut away, or a text of one token) is left out. Raises AdaptError for the mode."""
    mode = parse_pad_loss(pad_loss)
    limit = min(max_length, loaded.context_length)
    encoded, num_tokens, num_truncated = [], 0, 0
    for sequence in sequences:
        prompt, completion = _encode(loaded, sequence, mode.keeps_end)
        num_truncated += len(prompt) + len(completion) > limit
        prompt = prompt[max(0, len(prompt) - _prompt_room(limit, len(completion))) :]
        ids, prompt_length = [*prompt, *completion][:limit], len(prompt)
        num_tokens += len(ids)
        first = 0 if sequence.loss_on_prompt else max(prompt_length, 1) - 1
        ends = [loaded.eos_token_id] if mode.max_positions and first < len(ids) < limit else []
        targets = [*ids[first + 1 :], *ends]
        if targets:
            padding = range(len(ids), limit - 1) if ends else range(0)
            encoded.append(
                EncodedSequence(
                    ids_L=torch.tensor(ids),
                    first_loss_position=first,
                    targets_N=torch.tensor(targets),
                    weight=float(sequence.weight),
                    pad_positions=padding,
                    num_pads=min(mode.max_positions, len(padding)),
                )
            )
    return EncodedSequences(sequences=tuple(encoded), num_tokens=num_tokens, num_truncated=num_truncated, end_token_id=loaded.eos_token_id)


def encode_prompt(loaded: LoadedModel, text: str) -> list[int]:
    """Return the tokens of a prompt, in the model's chat template where it speaks chat."""
    return chat_token_ids(loaded, text) if loaded.speaks_chat else encode_text(loaded, plain_prompt(text))


def encode_text(loaded: LoadedModel, text: str) -> list[int]:
    """Return the tokens of a text that something shall follow: with the tokenizer's own start token, without its end token."""
    ids = text_token_ids(loaded, text, with_start=True)
    if text and len(ids) > 1 and ids[-1] == loaded.eos_token_id and _adds_end(loaded):
        ids.pop()
    return ids


def _adds_end(loaded: LoadedModel) -> bool:
    plain = loaded.tokenizer("a", add_special_tokens=False).input_ids
    marked = loaded.tokenizer("a").input_ids
    return len(marked) > len(plain) and marked[-1] == loaded.eos_token_id


def _prompt_room(limit: int, completion_length: int) -> int:
    """Return how many tokens of a prompt may stay: what the completion leaves free, and never less than a quarter of the limit."""
    return max(limit - completion_length, limit // 4)


def _encode(loaded: LoadedModel, sequence: TrainingSequence, keeps_end: bool) -> tuple[list[int], list[int]]:
    """Return the tokens of the prompt (none without one) and those of the completion, with its end token if that is kept."""
    end = [loaded.eos_token_id] if keeps_end else []
    if not sequence.prompt:
        return [], [*encode_text(loaded, sequence.completion), *end]
    completion = text_token_ids(loaded, sequence.completion, with_start=False)
    return encode_prompt(loaded, sequence.prompt), [*completion, *end]
