"""The product of all rows of a batch with one frozen matrix on CPU, y = x W + b, with each row the same to the bit whatever the batch.

What a kernel does depends on shapes, never on numbers. So for each shape a product of many copies of one row tells whether rows come out
the same wherever they lie, and the same as in the smallest product. Where they do (MKL's do), all rows are one product; where they do not,
the product goes by tiles of TILE_ROWS rows, which all have one shape.
"""

# T rows, I inputs, O outputs, N tiles
import torch

TILE_ROWS = 64
"""Divides the rows of every batch."""
_PROBED_TILES = (1, 2, 3, 8)

_exact_shapes: dict[tuple[int, ...], bool] = {}


def exact_product(x_TI: torch.Tensor, weight_IO: torch.Tensor, bias_O: torch.Tensor | None = None) -> torch.Tensor:
    """Return x W + b [T, O]; T is a multiple of TILE_ROWS, and `tiles_are_exact` holds for W."""
    shape = (torch.get_num_threads(), len(x_TI), *weight_IO.shape, *weight_IO.stride())
    if shape not in _exact_shapes:
        _exact_shapes[shape] = _is_exact(len(x_TI), weight_IO)
    if not _exact_shapes[shape]:
        return tiled_product(x_TI, weight_IO, bias_O)
    return torch.mm(x_TI, weight_IO) if bias_O is None else torch.addmm(bias_O, x_TI, weight_IO)


def tiled_product(x_TI: torch.Tensor, weight_IO: torch.Tensor, bias_O: torch.Tensor | None = None) -> torch.Tensor:
    """Return x W + b [T, O], tile by tile."""
    x_NTI = x_TI.view(-1, TILE_ROWS, x_TI.shape[1])
    weight_NIO = weight_IO.expand(len(x_NTI), -1, -1)
    y_NTO = torch.bmm(x_NTI, weight_NIO) if bias_O is None else torch.baddbmm(bias_O, x_NTI, weight_NIO)
    return y_NTO.view(len(x_TI), -1)


def tiles_are_exact(weight_IO: torch.Tensor) -> bool:
    """Say whether a row's product by tiles is the same wherever it lies in however many tiles."""
    expected_O = tiled_product(_copies(TILE_ROWS, weight_IO), weight_IO)[0]
    return all(bool((tiled_product(_copies(n * TILE_ROWS, weight_IO), weight_IO) == expected_O).all()) for n in _PROBED_TILES)


def _is_exact(num_rows: int, weight_IO: torch.Tensor) -> bool:
    expected_O = tiled_product(_copies(TILE_ROWS, weight_IO), weight_IO)[0]
    copies_TI, zeros_O = _copies(num_rows, weight_IO), expected_O.new_zeros(len(expected_O))
    products = (torch.mm(copies_TI, weight_IO), torch.addmm(zeros_O, copies_TI, weight_IO))
    return all(bool((y_TO == expected_O).all()) for y_TO in products)


def _copies(num_rows: int, weight_IO: torch.Tensor) -> torch.Tensor:
    row_1I = torch.randn(1, len(weight_IO), generator=torch.Generator().manual_seed(0))
    return row_1I.repeat(num_rows, 1)
