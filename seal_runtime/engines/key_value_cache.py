"""Keys and values of the rows of one generation request.

Columns lie as `PromptLayout` says, with hidden filling between the shared prefix and the rest of each prompt, so that the newest token
of every row stands in the same column; `mask` hides the filling. The capacity grows in steps that depend on the request alone.
"""

# T rows of the group, N rows (sequences of the request), J key-value heads, S columns, D head size
from collections.abc import Sequence

import torch

from seal_runtime.engines.prompt_layout import PromptLayout


class KeyValueCache:
    """One request's cache over all layers."""

    def __init__(self, layout: PromptLayout) -> None:
        self.layout = layout
        self.num_columns = layout.num_columns
        self._padding = layout.padding
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._masks_N11S: dict[int | None, torch.Tensor] = {}

    def fill(self, layer: int, key_TJD: torch.Tensor, value_TJD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the keys and values of the prompts' rows; return them by prompt [N, J, S, D]."""
        for tensors, tensor_TJD in ((self._keys, key_TJD), (self._values, value_TJD)):
            columns = tensor_TJD.flatten(1).index_select(0, self.layout.columns)
            tensors[layer] = columns.view(len(self._padding), -1, *tensor_TJD.shape[1:])
        return self._visible(layer)

    def open_column(self) -> None:
        """Make room for one more token a row; the layers write it with `append`."""
        self.num_columns += 1
        capacity = next(iter(self._keys.values())).shape[1]
        if self.num_columns > capacity:
            for tensors in (self._keys, self._values):
                for layer, tensor_NSJD in tensors.items():
                    tensors[layer] = torch.nn.functional.pad(tensor_NSJD, (0, 0, 0, 0, 0, self.layout.growth))
        self._masks_N11S.clear()

    def append(self, layer: int, key_NJD: torch.Tensor, value_NJD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the open column and return all keys and values [N, J, S, D]."""
        self._keys[layer][:, self.num_columns - 1] = key_NJD
        self._values[layer][:, self.num_columns - 1] = value_NJD
        return self._visible(layer)

    def mask(self, like: torch.Tensor, window: int | None) -> torch.Tensor | None:
        """Return an additive mask [N, 1, 1, S] for the newest tokens, or None when every row sees every column."""
        if max(self._padding) == 0 and (window is None or self.num_columns <= window):
            return None
        if window not in self._masks_N11S:
            prefix = self.layout.prefix_length
            columns_S = torch.arange(self.num_columns, device=like.device)
            padding_N1 = torch.tensor(self._padding, device=like.device)[:, None]
            hidden_NS = (columns_S >= prefix) & (columns_S < prefix + padding_N1)
            if window is not None:
                first_N1 = self.num_columns - window - padding_N1
                hidden_NS |= torch.where(columns_S < prefix, columns_S, columns_S - padding_N1) < first_N1
            mask_NS = torch.zeros(hidden_NS.shape, dtype=like.dtype, device=like.device)
            self._masks_N11S[window] = mask_NS.masked_fill_(hidden_NS, float("-inf"))[:, None, None]
        return self._masks_N11S[window]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        self._padding = [self._padding[row] for row in rows]
        self._masks_N11S.clear()
        rows_N: torch.Tensor | None = None
        for tensors in (self._keys, self._values):
            for layer, tensor_NSJD in tensors.items():
                if rows_N is None:
                    rows_N = torch.tensor(rows, device=tensor_NSJD.device)
                tensors[layer] = tensor_NSJD.index_select(0, rows_N)

    def _visible(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        end = self.num_columns
        return self._keys[layer][:, :end].transpose(1, 2), self._values[layer][:, :end].transpose(1, 2)
