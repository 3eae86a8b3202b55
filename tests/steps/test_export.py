"""Masks leave the database as every other program draws them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from cacapp.arrays import rle
from cacapp.exchange.outline import polygon
from cacapp.types import Array, Instance


@st.composite
def placed(draw: st.DrawFn) -> tuple[Array, tuple[int, int, int, int], tuple[int, int]]:
    """A mask with at least one pixel, its box, and the size of a frame around it."""
    h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    mask = draw(arrays(bool, (h, w)))
    mask[draw(st.integers(0, h - 1)), draw(st.integers(0, w - 1))] = True
    y, x = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return mask, (x, y, w, h), (y + h + draw(st.integers(0, 4)), x + w + draw(st.integers(0, 4)))


@given(placed())
def test_the_run_lengths_of_the_frame_are_those_of_the_mask_pasted_into_it(
    case: tuple[Array, tuple[int, int, int, int], tuple[int, int]],
) -> None:
    mask, (x, y, w, h), size = case
    frame = np.zeros(size, bool)
    frame[y : y + h, x : x + w] = mask
    assert rle.encode_in_frame(mask, (x, y, w, h), *size) == rle.encode(frame)


def test_a_mask_outside_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        rle.encode_in_frame(np.ones((2, 2), bool), (3, 0, 2, 2), 4, 4)


@given(placed())
def test_the_polygon_is_simple_and_covers_the_largest_part_with_its_holes(
    case: tuple[Array, tuple[int, int, int, int], tuple[int, int]],
) -> None:
    mask, box, _ = case
    ring = polygon(Instance(box, mask))
    points = np.array(ring)
    assert ring[0] == ring[-1]
    assert len({tuple(p) for p in ring}) == len(ring) - 1  # no corner twice
    assert ((np.diff(points, axis=0) != 0).sum(axis=1) == 1).all()  # along the edges of pixels
    x, y = points[:-1].T
    area = abs(int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())[1:]
    largest = [parts == i + 1 for i in np.flatnonzero(sizes == sizes.max())]
    assert area in [ndimage.binary_fill_holes(part).sum() for part in largest]


def test_one_pixel_is_a_square_at_its_place() -> None:
    assert sorted(polygon(Instance((5, 7, 1, 1), np.ones((1, 1), bool)))[:4]) == [[5, 7], [5, 8], [6, 7], [6, 8]]
