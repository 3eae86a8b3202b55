"""Tiles: every point belongs to one tile, which contains it with a margin, whatever the grid's shift."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacapp.arrays.tiles import TileGrid

grids = st.builds(
    TileGrid,
    height_px=st.integers(1, 900),
    width_px=st.integers(1, 900),
    side_px=st.just(256),
    overlap_px=st.sampled_from([32, 96]),
    shift_yx=st.tuples(st.integers(-300, 300), st.integers(-300, 300)),
)


@given(grids, st.data())
def test_the_owner_of_a_point_sees_it_with_half_the_overlap_around(grid: TileGrid, data: st.DataObject) -> None:
    x, y = data.draw(st.floats(0, grid.width_px - 1)), data.draw(st.floats(0, grid.height_px - 1))
    top, left = grid.origins_yx[grid.owners(np.array([[x, y]]))[0]]
    room = grid.overlap_px // 2
    assert top + room <= y < top + grid.side_px - room
    assert left + room <= x < left + grid.side_px - room


@given(grids)
def test_cores_cover_the_plane_once(grid: TileGrid) -> None:
    ys, xs = np.mgrid[0 : grid.height_px : 17, 0 : grid.width_px : 17]
    owners = grid.owners(np.stack([xs.ravel(), ys.ravel()], axis=1))
    assert owners.min() >= 0
    assert owners.max() < len(grid.origins_yx)


@pytest.mark.parametrize("shift", [(0, 0), (40, -13)])
def test_a_tile_holds_the_planes_pixels_and_the_fill_outside(shift: tuple[int, int]) -> None:
    plane = np.arange(300 * 280, dtype=np.float32).reshape(300, 280)
    grid = TileGrid(300, 280, 128, 32, shift)
    for tile, (top, left) in enumerate(grid.origins_yx):
        cut = grid.cut(plane, tile, -1.0)
        assert cut.shape == (128, 128)
        ys, xs = np.mgrid[top : top + 128, left : left + 128]
        inside = (ys >= 0) & (xs >= 0) & (ys < 300) & (xs < 280)
        assert np.array_equal(cut[inside], plane[ys[inside], xs[inside]])
        assert (cut[~inside] == -1).all()
