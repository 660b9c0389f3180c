"""Where the tokens of a request's prompts stand: as rows of its group, and as columns of its cache.

What all prompts of a request begin with is computed once: the group's rows are that shared prefix and then the rest of each prompt. The
cache has one row of columns for each prompt: the prefix, hidden filling, the rest, room for new tokens; so the newest token of every
prompt stands in the same column. All of it is a function of the request alone.
"""

# T rows of the group, N prompts, P tokens of the prefix, W tokens of the longest rest, S columns
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch

from seal_runtime.engines.model_loading import LoadedModel
from seal_runtime.engines.prompt_fitting import fit_prompts

_MAX_GROWTH_COLUMNS = 64
_MAX_PADDING = 2.0
"""Sharing pads the rests to the longest; where that makes attention this many times dearer, prompts are computed whole."""

_MAX_KNOWN = 128
"""Requests whose prompts are remembered: the edits of one passage ask the same questions."""


Prompts = tuple[tuple[int, ...], ...]
"""The token ids of the prompts of one request."""


class PromptLayout:
    """The layout of fitted prompts. `lengths` are those of the group's sequences: the prefix, where there is one, and the rests."""

    def __init__(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, device: torch.device) -> None:
        self.prompts: Prompts = tuple(map(tuple, prompts))
        self.prefix_length = prefix = _shared_length(prompts)
        self.growth = min(_MAX_GROWTH_COLUMNS, max_new_tokens)
        rests = [ids[prefix:] for ids in prompts]
        self.widest = max(map(len, rests))
        self.num_columns = prefix + self.widest
        self.padding = [self.widest - len(rest) for rest in rests]
        self.lengths = [prefix] * bool(prefix) + [len(rest) for rest in rests]
        self.ids_T = torch.tensor([*prompts[0][:prefix], *(token for rest in rests for token in rest)])
        self.positions_T = torch.tensor([*range(prefix), *(prefix + index for rest in rests for index in range(len(rest)))])
        columns: list[int] = []
        queries: list[int] = []
        slots: list[int] = []
        last: list[int] = []
        start = prefix
        for row, (rest, filling) in enumerate(zip(rests, self.padding, strict=True)):
            padded = [0] * filling + list(range(start, start + len(rest)))
            columns += [*range(prefix), *padded, *[0] * self.growth]
            queries += padded
            slots += range(row * self.widest + filling, (row + 1) * self.widest)
            start += len(rest)
            last.append(start - 1)
        self.columns = torch.tensor(columns, device=device)
        """[N * S] The group's row that each cache column holds; hidden and future columns hold the first row."""
        self.queries = torch.tensor(queries, device=device)
        """[N * W] The group's row of each place in the padded rests; filling holds the first row."""
        self.slots = torch.tensor(slots, device=device)
        """[T - P] The place of each row after the prefix in the padded rests."""
        self.last_rows_N = torch.tensor(last, device=device)
        self._masks: dict[tuple[int | None, int], torch.Tensor] = {}

    @property
    def num_rows(self) -> int:
        """Return how many rows the group has."""
        return len(self.ids_T)

    def rest_mask(self, like: torch.Tensor, window: int | None, repeats: int) -> torch.Tensor:
        """Return the additive mask [N, 1, repeats * W, P + W] of the padded rests; filling sees the first token, so that it is finite."""
        if (window, repeats) not in self._masks:
            prefix, device = self.prefix_length, like.device
            padding_N11 = torch.tensor(self.padding, device=device)[:, None, None]
            columns_S = torch.arange(self.num_columns, device=device)
            queries_NW1 = (prefix + torch.arange(self.widest, device=device)[:, None] - padding_N11).clamp_min(0)
            keys_N1S = torch.where(columns_S < prefix, columns_S, columns_S - padding_N11)
            hidden_NWS = (columns_S >= prefix) & (keys_N1S < prefix) | (keys_N1S > queries_NW1)
            if window is not None:
                hidden_NWS |= queries_NW1 - keys_N1S >= window
            mask_NWS = torch.zeros(hidden_NWS.shape, dtype=like.dtype, device=device).masked_fill_(hidden_NWS, float("-inf"))
            self._masks[window, repeats] = mask_NWS.repeat(1, repeats, 1)[:, None]
        return self._masks[window, repeats]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPrompts:
    """The prompts of a request, fitted into the context and laid out."""

    layout: PromptLayout
    max_new_tokens: int
    num_truncated: int


class PromptReader:
    """Encodes and lays out prompts; the most recent ones are remembered."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._known: OrderedDict[tuple[tuple[str, ...], int], ReadPrompts] = OrderedDict()

    def read(self, prompts: tuple[str, ...], max_new_tokens: int) -> ReadPrompts:
        """Return the prompts' tokens and places; see `fit_prompts` for what does not fit."""
        key = (prompts, max_new_tokens)
        if key in self._known:
            self._known.move_to_end(key)
        else:
            fitted = fit_prompts(self._loaded, prompts, max_new_tokens)
            layout = PromptLayout(fitted.prompts, fitted.max_new_tokens, self._loaded.device)
            self._known[key] = ReadPrompts(layout=layout, max_new_tokens=fitted.max_new_tokens, num_truncated=fitted.num_truncated)
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return self._known[key]


def _shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens to compute once; every prompt keeps at least one token of its own."""
    lengths = [len(ids) for ids in prompts]
    equal = (len(set(tokens)) == 1 for tokens in zip(*prompts, strict=False))
    prefix = min(sum(takewhile(bool, equal)), min(lengths) - 1)
    padded = len(prompts) * (max(lengths) - prefix) * max(lengths)
    if len(prompts) < 2 or padded > _MAX_PADDING * sum(length * length for length in lengths):
        return 0
    return prefix
