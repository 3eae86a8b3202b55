"""A step or a dip of DAPI across a nucleus is a seam; texture and the curve of a single nucleus are none."""

import cv2
import numpy as np
import pytest

from cacapp.fish.doubt.intensity_seams import seams
from cacapp.types import Array, Instance

SHAPE = (120, 120)
ROWS, COLS = np.mgrid[:120, :120]
BACKGROUND = 400.0


def disk(y: float, x: float, radius: float) -> Array:
    return (ROWS - y) ** 2 + (COLS - x) ** 2 <= radius**2


def frame(light: Array, seed: int = 0) -> Array:
    blurred = cv2.GaussianBlur(light, (0, 0), 1.0) + BACKGROUND
    return np.random.default_rng(seed).poisson(blurred / 2).astype(np.uint16) * 2


def whole(mask: Array) -> Instance:
    return Instance((0, 0, 120, 120), mask)


def strongest(light: Array, mask: Array) -> float:
    return seams(frame(light), whole(mask), BACKGROUND).strongest()


ONE = disk(60, 60, 34)
TEXTURE = 1 + 0.08 * cv2.GaussianBlur(np.random.default_rng(3).normal(0, 12, SHAPE), (0, 0), 3)


def test_two_overlapping_nuclei_have_a_seam_and_one_has_none() -> None:
    single = strongest(5000.0 * ONE, ONE)
    textured = strongest(5000.0 * ONE * TEXTURE, ONE)
    left, right = disk(60, 45, 28), disk(60, 80, 28)
    overlap = strongest(4000.0 * left + 4000.0 * right, left | right)
    unlike = strongest(3000.0 * (left & ~right) + 6000.0 * right, left | right)
    assert single < 0.05
    assert min(overlap, unlike) > 2 * max(single, textured)


def test_a_dark_line_between_two_nuclei_is_a_seam_where_it_lies() -> None:
    gap = np.abs(COLS - 58) <= 1
    found = seams(frame(5000.0 * (ONE & ~gap)), whole(ONE), BACKGROUND)
    best = int(found.strength.argmax())
    assert found.angle[best] == pytest.approx(0)
    assert found.offset_px[best] == pytest.approx(58, abs=1.5)


def test_points_lie_on_either_side_of_a_line() -> None:
    found = seams(frame(5000.0 * ONE), whole(ONE), BACKGROUND)
    upright = int(np.flatnonzero((found.angle == 0) & (np.abs(found.offset_px - 60) <= 0.5))[0])
    assert found.side(np.array([[10.0, 40.0], [90.0, 80.0]]))[upright].tolist() == [False, True]


def test_the_place_in_the_frame_and_the_exposure_change_nothing() -> None:
    light = 4000.0 * disk(60, 45, 28) + 4000.0 * disk(60, 80, 28)
    mask = disk(60, 45, 28) | disk(60, 80, 28)
    rows, cols = np.nonzero(mask)
    top, left, bottom, right = rows.min(), cols.min(), rows.max() + 1, cols.max() + 1
    tight = Instance((int(left), int(top), int(right - left), int(bottom - top)), mask[top:bottom, left:right])
    one = seams(frame(light), whole(mask), BACKGROUND)
    two = seams(3 * frame(light).astype(float), tight, 3 * BACKGROUND)
    assert two.strength == pytest.approx(one.strength, rel=1e-6)
    assert two.offset_px == pytest.approx(one.offset_px)


def test_a_region_too_small_has_no_seams() -> None:
    assert seams(frame(np.zeros(SHAPE)), whole(disk(60, 60, 3)), BACKGROUND).strongest() == 0
