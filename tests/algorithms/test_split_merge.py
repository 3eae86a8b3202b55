"""A quad-tree's leaves are homogeneous squares; equal neighbours merge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cacapp.algorithms.split_merge import merge, split
from cacapp.types import Array

images = arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 8).map(np.float32))


@given(images, st.integers(0, 8), st.sampled_from([2, 4, 8, 16]))
def test_leaves_are_homogeneous_squares_of_a_power_of_two(image: Array, max_range: int, block: int) -> None:
    leaves = split(image, max_range, block)
    assert leaves.dtype == np.int32
    assert set(np.unique(leaves)) == set(range(1, leaves.max() + 1))
    for label in range(1, leaves.max() + 1):
        rows, cols = np.nonzero(leaves == label)
        top, left = rows.min(), cols.min()
        side = max(rows.max() - top, cols.max() - left) + 1
        size = 1 << int(side - 1).bit_length()  # a block at the right or lower edge may be cut to less than its power of two
        values = image[rows, cols]
        assert values.max() - values.min() <= max_range
        assert size <= block
        whole = np.zeros(image.shape, bool)
        grown = next(s for s in (1 << k for k in range(6)) if s >= side and top % s == 0 and left % s == 0)
        whole[top : top + grown, left : left + grown] = True
        assert np.array_equal(leaves == label, whole)


def test_leaves_are_as_large_as_they_can_be() -> None:
    image = np.zeros((16, 16), np.float32)
    image[0, 0] = 9
    sizes = np.sort(np.bincount(split(image, 1, 16).ravel())[1:])
    assert sizes.tolist() == [1, 1, 1, 1, 4, 4, 4, 16, 16, 16, 64, 64, 64]


def test_a_flat_image_is_cut_into_root_blocks_only() -> None:
    assert split(np.ones((16, 24), np.float32), 0, 8).max() == 6


@given(images)
def test_equal_neighbours_merge(image: Array) -> None:
    constant = np.full(image.shape, 3, np.float32)
    assert len(np.unique(merge(constant, split(constant, 0, 4), 0))) == 1


def test_different_halves_stay_apart_and_each_is_one() -> None:
    image = np.ones((16, 16), np.float32)
    image[:, 6:] = 3
    merged = merge(image, split(image, 0, 8), 0.3)
    assert len(np.unique(merged)) == 2
    assert len(np.unique(merged[:, :6])) == len(np.unique(merged[:, 6:])) == 1


@pytest.mark.parametrize(("difference", "regions"), [(0.05, 4), (0.4, 2), (0.9, 1)])
def test_more_tolerance_leaves_fewer_regions(difference: float, regions: int) -> None:
    image = np.repeat(np.float32([[1.0, 1.3, 4.0, 5.0]]), 8, axis=0).repeat(8, axis=1)
    assert len(np.unique(merge(image, split(image, 0, 8), difference))) == regions


def test_equal_regions_that_do_not_touch_stay_apart() -> None:
    image = np.repeat(np.float32([[1, 5, 1]]), 8, axis=0).repeat(8, axis=1)
    assert len(np.unique(merge(image, split(image, 0, 8), 0.1))) == 3


@given(images, st.floats(0, 2))
def test_merging_only_joins_whole_leaves(image: Array, difference: float) -> None:
    leaves = split(image, 1, 4)
    merged = merge(image, leaves, difference)
    for label in np.unique(leaves):
        assert len(np.unique(merged[leaves == label])) == 1
