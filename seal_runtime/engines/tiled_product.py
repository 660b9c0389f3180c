"""The product of many rows with one frozen matrix, in tiles of one shape: y_t = x_t W + b for each tile t of TILE_ROWS rows.

Invariant (CPU): a row's result is the same to the bit whoever its neighbours are. A kernel's order of operations depends on the shape, and
all tiles have one; that it does not depend on the row's place in the tile either, `tiles_are_exact` looks up on the machine.
"""

# T rows, I inputs, O outputs, N tiles
import torch

TILE_ROWS = 32
"""Divides the rows of every batch. Larger tiles are hardly faster and cost a lone adapter more filling."""
_PROBED_TILES = (1, 2, 3, 8)


def tiled_product(x_TI: torch.Tensor, weight_IO: torch.Tensor, bias_O: torch.Tensor | None = None) -> torch.Tensor:
    """Return x W + b [T, O]; T is a multiple of TILE_ROWS."""
    x_NTI = x_TI.view(-1, TILE_ROWS, x_TI.shape[1])
    weight_NIO = weight_IO.expand(len(x_NTI), -1, -1)
    y_NTO = torch.bmm(x_NTI, weight_NIO) if bias_O is None else torch.baddbmm(bias_O, x_NTI, weight_NIO)
    return y_NTO.view(len(x_TI), -1)


def tiles_are_exact(weight_IO: torch.Tensor) -> bool:
    """Say whether a row's product is the same wherever it lies in however many tiles.

    What a kernel does depends on shapes and not on numbers, so many copies of one row of random numbers tell.
    """
    row_1I = torch.randn(1, weight_IO.shape[0], generator=torch.Generator().manual_seed(0))
    products = [tiled_product(row_1I.repeat(count * TILE_ROWS, 1), weight_IO) for count in _PROBED_TILES]
    return all(bool((y_TO == products[0][0]).all()) for y_TO in products)
