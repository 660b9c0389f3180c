"""Rows of a product of all rows do not know where they are, or the product goes by tiles, or group by group."""

import pytest
import torch

from seal_runtime.engines import exact_product as module
from seal_runtime.engines.exact_product import TILE_ROWS, exact_product, tiled_product, tiles_are_exact
from seal_runtime.engines.model_loading import load_model
from seal_runtime.engines.packed_model import PackedModel


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch):
    monkeypatch.setattr(module, "_exact_shapes", {})


@pytest.mark.parametrize("product", [exact_product, tiled_product])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_a_row_is_the_same_in_any_place_and_company(product, is_transposed):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(52, 36, generator=generator).t() if is_transposed else torch.randn(36, 52, generator=generator)
    bias, row = torch.randn(52, generator=generator), torch.randn(36, generator=generator)
    found = set()
    for num_tiles in (1, 2, 7, 30):
        for place in (0, 1, 13, TILE_ROWS - 1, num_tiles * TILE_ROWS - 1):
            x = torch.randn(num_tiles * TILE_ROWS, 36, generator=generator)
            x[place] = row
            found.add(tuple(product(x, weight, bias)[place].tolist()))
    assert len(found) == 1
    assert torch.allclose(torch.tensor(found.pop()), row @ weight + bias, atol=1e-5)


def test_both_ways_give_the_same_bits():
    x, weight = torch.randn(5 * TILE_ROWS, 24), torch.randn(24, 40)
    assert torch.equal(exact_product(x, weight), tiled_product(x, weight))


def test_a_shape_whose_rows_depend_on_their_place_goes_by_tiles(monkeypatch):
    multiply = torch.mm

    def uneven(left, right):
        product = multiply(left, right)
        product[len(product) // 2] *= 1 + 1e-6 * (len(product) > TILE_ROWS)
        return product

    monkeypatch.setattr(torch, "mm", uneven)
    x, weight = torch.randn(2 * TILE_ROWS, 24), torch.randn(24, 40)
    assert torch.equal(exact_product(x, weight), tiled_product(x, weight))
    assert list(module._exact_shapes.values()) == [False]
    exact_product(x[:TILE_ROWS], weight)
    assert list(module._exact_shapes.values()) == [False, True]


def test_a_library_whose_tiles_are_uneven_is_found_out(monkeypatch):
    weight = torch.randn(16, 16)
    assert tiles_are_exact(weight)
    assert PackedModel(load_model("random:tiny-llama"), "exact").mode == "exact"

    def uneven(x_TI, weight_IO):
        product = x_TI @ weight_IO
        product[7] += 1e-6
        return product

    monkeypatch.setattr(module, "tiled_product", uneven)
    assert not tiles_are_exact(weight)
    assert PackedModel(load_model("random:tiny-llama"), "exact").mode == "grouped"


def test_other_precisions_go_group_by_group():
    assert PackedModel(load_model("random:tiny-llama", "bfloat16"), "exact").mode == "grouped"
