"""Augmentations: numpy's directions, grids stay grids, and what is turned can be turned back, whatever the shape."""

import numpy as np
import pytest
from arc_files import CALM, grids
from hypothesis import given
from hypothesis import strategies as st

from seal_runtime.tasks.arc import augmentations as made
from seal_runtime.tasks.arc.grids import Grid


def as_grid(array: np.ndarray) -> Grid:
    return tuple(tuple(int(colour) for colour in row) for row in array)


@pytest.mark.parametrize("name", list(made.INVERTIBLE))
@given(grid=grids())
@CALM
def test_an_inverse_gives_the_grid_back(name: str, grid: Grid) -> None:
    pair = made.INVERTIBLE[name]
    assert pair.invert(pair.apply(grid)) == grid
    assert pair.apply(pair.invert(grid)) == grid


@given(grid=grids(), rows=st.integers(0, 40), columns=st.integers(0, 40), colours=st.permutations(range(10)))
@CALM
def test_translations_and_colours_can_be_undone(grid: Grid, rows: int, columns: int, colours: list[int]) -> None:
    assert made.translated(-rows, -columns)(made.translated(rows, columns)(grid)) == grid
    back = tuple(colours.index(colour) for colour in range(10))
    assert made.recoloured(back)(made.recoloured(tuple(colours))(grid)) == grid


@given(grid=grids(), rows=st.integers(0, 3), columns=st.integers(0, 3))
@CALM
def test_augmentations_are_numpys(grid: Grid, rows: int, columns: int) -> None:
    array = np.array(grid)
    expected = {
        made.transpose: array.T,
        made.flip_rows: np.flipud(array),
        made.flip_columns: np.fliplr(array),
        made.rotate_90: np.rot90(array),
        made.rotate_180: np.rot90(array, 2),
        made.rotate_270: np.rot90(array, 3),
        made.double_height: np.repeat(array, 2, axis=0),
        made.double_width: np.repeat(array, 2, axis=1),
        made.double_resolution: np.kron(array, np.ones((2, 2), dtype=int)),
        made.translated(rows, columns): np.roll(array, (rows, columns), axis=(0, 1)),
        made.GEOMETRIC[5]: np.concatenate((np.flipud(array), array), axis=0),
        made.GEOMETRIC[6]: np.concatenate((np.fliplr(array), array), axis=1),
        made.GEOMETRIC[7]: np.concatenate((array, np.flipud(array)), axis=0),
        made.GEOMETRIC[8]: np.concatenate((array, np.fliplr(array)), axis=1),
        made.REPEAT[0]: np.tile(array, (2, 1)),
        made.REPEAT[1]: np.tile(array, (1, 2)),
        made.REPEAT[2]: np.tile(array, (2, 2)),
        made.CHAIN[0]: np.kron(np.rot90(array), np.ones((2, 2), dtype=int)),
    }
    for augmentation, wanted in expected.items():
        assert augmentation(grid) == as_grid(wanted)


@given(grid=grids())
@CALM
def test_grids_stay_grids(grid: Grid) -> None:
    for augmentation in (*made.GEOMETRIC, *made.SIZE, *made.CHAIN, *made.REPEAT):
        result = augmentation(grid)
        assert result
        assert len({len(row) for row in result}) == 1
        assert {colour for row in result for colour in row} == {colour for row in grid for colour in row}


def test_there_are_as_many_as_in_the_published_code() -> None:
    assert (len(made.GEOMETRIC) + 1, len(made.SIZE), len(made.CHAIN), len(made.REPEAT)) == (11, 3, 6, 3)
