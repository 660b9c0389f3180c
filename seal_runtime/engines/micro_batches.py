"""What each optimizer step of a job computes: its sequences in their order, laid out in rows, split where they exceed the token cap.

Invariant: the split depends on the job and on the cap only, and all parts of a step share one normalisation, so together they make the
loss and the gradient of the whole step.
"""

# L tokens and P pads of one sequence, T rows of a part
from collections.abc import Sequence

import torch

from seal_runtime.engines.base import AdaptRequest
from seal_runtime.engines.lora_group import Group, LoraFactors
from seal_runtime.engines.schedules import data_order
from seal_runtime.engines.token_loss import LossTargets
from seal_runtime.engines.training_sequences import EncodedSequence, EncodedSequences
from seal_runtime.seeds import derive_seed

MicroBatch = tuple[Group, LossTargets]


class MicroBatches:
    """The steps of one job, for ever."""

    def __init__(self, request: AdaptRequest, encoded: EncodedSequences, factors: dict[int, LoraFactors]) -> None:
        self._encoded = encoded
        self._factors = factors
        self._order = data_order(request.optim, len(encoded.sequences), request.seed)
        self._padding = torch.Generator().manual_seed(derive_seed(request.seed, "padding"))
        self._known: dict[int, MicroBatch] = {}

    def next_step(self, max_tokens: int) -> list[MicroBatch]:
        """Return the parts of the next optimizer step, each of at most `max_tokens` rows (one sequence may have more)."""
        indices = next(self._order)
        if len(indices) == 1:
            return [self._single(indices[0])]
        sequences = [self._encoded.sequences[index] for index in indices]
        num_loss_tokens = sum(sequence.num_loss_tokens for sequence in sequences)
        parts: list[list[EncodedSequence]] = []
        room = 0
        for sequence in sequences:
            rows = sequence.num_rows
            if not parts or rows > room:
                parts.append([])
                room = max_tokens
            parts[-1].append(sequence)
            room -= rows
        return [self._lay_out(part, num_loss_tokens, accumulate=position > 0) for position, part in enumerate(parts)]

    def _single(self, index: int) -> MicroBatch:
        """Return a step of one sequence, which is the same in every epoch unless padding is drawn for it."""
        if index in self._known:
            return self._known[index]
        sequence = self._encoded.sequences[index]
        made = self._lay_out([sequence], sequence.num_loss_tokens, accumulate=False)
        if sequence.num_pads == len(sequence.pad_positions):
            self._known[index] = made
        return made

    def _lay_out(self, part: Sequence[EncodedSequence], num_loss_tokens: int, accumulate: bool) -> MicroBatch:
        total = sum(sequence.num_rows for sequence in part)
        ids_T, positions_T = torch.zeros(total, dtype=torch.long), torch.zeros(total, dtype=torch.long)
        rows, targets, shares, start = [], [], [], 0
        for sequence in part:
            length, num_pads, num_targets = len(sequence.ids_L), sequence.num_pads, len(sequence.targets_N)
            first, share = start + sequence.first_loss_position, sequence.weight / num_loss_tokens
            ids_T[start : start + length] = sequence.ids_L
            positions_T[start : start + length] = torch.arange(length)
            rows.append(torch.arange(first, first + num_targets))
            targets.append(sequence.targets_N)
            shares.append(torch.full((num_targets,), share))
            if num_pads:
                padding = slice(start + length, start + length + num_pads)
                ids_T[padding], positions_T[padding] = self._encoded.end_token_id, self._draw_padding(sequence)
                rows.append(torch.arange(padding.start, padding.stop))
                targets.append(ids_T[padding])
                shares.append(torch.full((num_pads,), share * len(sequence.pad_positions) / num_pads))
            start += sequence.num_rows
        group = Group(
            ids_T=ids_T,
            positions_T=positions_T,
            lengths=[sequence.num_rows for sequence in part],
            num_pads=[sequence.num_pads for sequence in part],
            factors=self._factors,
            accumulate=accumulate,
        )
        return group, LossTargets(rows_N=torch.cat(rows), targets_N=torch.cat(targets), shares_N=torch.cat(shares))

    def _draw_padding(self, sequence: EncodedSequence) -> torch.Tensor:
        """Return the positions of padding that carry loss in this step, in their order."""
        if sequence.num_pads == len(sequence.pad_positions):
            return torch.tensor(sequence.pad_positions)
        drawn_P = torch.randperm(len(sequence.pad_positions), generator=self._padding)[: sequence.num_pads]
        return drawn_P.sort().values + sequence.pad_positions.start
