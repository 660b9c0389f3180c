"""Rows of a product by tiles do not know where they are."""

import pytest
import torch

from seal_runtime.engines import tiled_product as module
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.packed_model import PackedModel
from seal_runtime.engines.tiled_product import TILE_ROWS, tiled_product, tiles_are_exact


@pytest.mark.parametrize("is_transposed", [False, True])
def test_a_row_is_the_same_in_any_place_and_company(is_transposed):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(52, 36, generator=generator).t() if is_transposed else torch.randn(36, 52, generator=generator)
    bias, row = torch.randn(52, generator=generator), torch.randn(36, generator=generator)
    found = set()
    for num_tiles in (1, 2, 7):
        for place in (0, 1, 13, TILE_ROWS - 1, num_tiles * TILE_ROWS - 1):
            x = torch.randn(num_tiles * TILE_ROWS, 36, generator=generator)
            x[place] = row
            found.add(tuple(tiled_product(x, weight, bias)[place].tolist()))
    assert len(found) == 1
    assert torch.allclose(torch.tensor(found.pop()), row @ weight + bias, atol=1e-5)


def test_a_library_whose_rows_depend_on_their_place_is_found_out(monkeypatch):
    weight = torch.randn(16, 16)
    assert tiles_are_exact(weight)

    def uneven(x_TI, weight_IO):
        y = x_TI @ weight_IO
        y[7] += 1e-6
        return y

    assert PackedModel(load_model("random:tiny-llama"), "tiled").mode == "tiled"
    monkeypatch.setattr(module, "tiled_product", uneven)
    assert not tiles_are_exact(weight)
    assert PackedModel(load_model("random:tiny-llama"), "tiled").mode == "grouped"


def test_other_precisions_and_devices_go_group_by_group():
    assert PackedModel(load_model("random:tiny-llama", "bfloat16"), "tiled").mode == "grouped"
