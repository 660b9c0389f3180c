"""Keys and values of the rows of one generation request.

Rows are padded at the left, so that the newest token of every row stands in the same column; `mask` hides the padding. The capacity
grows in fixed steps that depend on the request alone.
"""

# N rows (sequences of the request), H key-value heads, S columns, D head size
import torch

_GROWTH_COLUMNS = 64


class KeyValueCache:
    """One request's cache over all layers."""

    def __init__(self, lengths: list[int]) -> None:
        self.num_columns = max(lengths)
        self._padding = [self.num_columns - length for length in lengths]
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._masks_N11S: dict[int | None, torch.Tensor] = {}

    def store_sequence(self, layer: int, row: int, key_HLD: torch.Tensor, value_HLD: torch.Tensor) -> None:
        """Keep the keys and values of one whole prompt."""
        if layer not in self._keys:
            heads, _, head_size = key_HLD.shape
            shape = (len(self._padding), heads, self.num_columns + _GROWTH_COLUMNS, head_size)
            self._keys[layer] = key_HLD.new_zeros(shape)
            self._values[layer] = key_HLD.new_zeros(shape)
        self._keys[layer][row, :, self._padding[row] : self.num_columns] = key_HLD
        self._values[layer][row, :, self._padding[row] : self.num_columns] = value_HLD

    def open_column(self) -> None:
        """Make room for one more token a row; the layers write it with `append`."""
        self.num_columns += 1
        capacity = next(iter(self._keys.values())).shape[2]
        if self.num_columns > capacity:
            for tensors in (self._keys, self._values):
                for layer, tensor_NHSD in tensors.items():
                    tensors[layer] = torch.nn.functional.pad(tensor_NHSD, (0, 0, 0, _GROWTH_COLUMNS))
        self._masks_N11S.clear()

    def append(self, layer: int, key_NHD: torch.Tensor, value_NHD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the open column and return all keys and values [N, H, S, D]."""
        keys, values, end = self._keys[layer], self._values[layer], self.num_columns
        keys[:, :, end - 1] = key_NHD
        values[:, :, end - 1] = value_NHD
        return keys[:, :, :end], values[:, :, :end]

    def mask(self, like: torch.Tensor, window: int | None) -> torch.Tensor | None:
        """Return an additive mask [N, 1, 1, S], or None when every row sees every column."""
        hidden = max(self._padding)
        if hidden == 0 and (window is None or self.num_columns <= window):
            return None
        if window not in self._masks_N11S:
            columns_S = torch.arange(self.num_columns, device=like.device)
            first_N = torch.tensor(self._padding, device=like.device)
            if window is not None:
                first_N = first_N.clamp_min(self.num_columns - window)
            mask_NS = torch.zeros(len(self._padding), self.num_columns, dtype=like.dtype, device=like.device)
            self._masks_N11S[window] = mask_NS.masked_fill_(columns_S < first_N[:, None], float("-inf"))[:, None, None]
        return self._masks_N11S[window]

    def select(self, rows: list[int]) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        self._padding = [self._padding[row] for row in rows]
        self._masks_N11S.clear()
        for tensors in (self._keys, self._values):
            for layer, tensor_NHSD in tensors.items():
                tensors[layer] = tensor_NHSD[rows]
