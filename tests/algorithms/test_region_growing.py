"""Seeded region growing does what Adams & Bischof (1994) say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cacapp.algorithms.region_growing import grow
from cacapp.types import Array


def row(values: list[float], seeds: list[int]) -> list[int]:
    return grow(np.float32([values]), np.int32([seeds]))[0].tolist()


def test_a_hand_worked_row() -> None:
    # 14 joins the left region (4 off 10; its mean is now 12), then 18 (6 off; mean 14), and 21 is 7 off that mean but 9 off 30:
    # it goes left, although 30 is nearer to it than the left seed's own 10.
    assert row([10, 14, 18, 21, 30], [1, 0, 0, 0, 2]) == [1, 1, 1, 1, 2]
    # the right region takes 26 (4 off), then 22 (6 off 28); 17 is 7 off the left mean and 9 off the right one
    assert row([10, 17, 22, 26, 30], [1, 0, 0, 0, 2]) == [1, 1, 2, 2, 2]


def test_a_step_is_found_wherever_the_seeds_lie() -> None:
    for place in range(1, 9):
        values = [0.0] * place + [9.0] * (10 - place)
        assert row(values, [1] + [0] * 8 + [2]) == [1] * place + [2] * (10 - place)


def test_the_most_similar_pixel_goes_first() -> None:
    # the left region takes 5, 5, 5 before it looks at 8: by then its mean is 5 and 8 belongs to 9
    assert row([5, 5, 5, 5, 8, 9], [1, 0, 0, 0, 0, 2]) == [1, 1, 1, 1, 2, 2]


images = arrays(np.float32, (7, 8), elements=st.integers(0, 20).map(np.float32))
seed_images = arrays(np.int32, (7, 8), elements=st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3]))


@given(images, seed_images.filter(np.any))
def test_all_pixels_join_a_region_that_reaches_them(image: Array, seeds: Array) -> None:
    grown = grow(image, seeds)
    assert (grown > 0).all()
    assert np.array_equal(grown[seeds > 0], seeds[seeds > 0])
    for label in np.unique(seeds[seeds > 0]):
        region = (grown == label).astype(np.uint8)
        _, parts = cv2.connectedComponents(region, connectivity=4)
        reached = np.unique(parts[seeds == label])
        assert set(np.unique(parts[parts > 0])) == set(reached)


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_gain_and_offset_change_no_border(gain: float) -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 100, (12, 12)).astype(np.float32)
    seeds = np.zeros((12, 12), np.int32)
    seeds[0, 0], seeds[11, 11], seeds[0, 11] = 1, 2, 3
    assert np.array_equal(grow(image, seeds), grow(image * np.float32(gain) + 64, seeds))


def test_without_seeds_nothing_is_labelled() -> None:
    assert not grow(np.ones((4, 4), np.float32), np.zeros((4, 4), np.int32)).any()
