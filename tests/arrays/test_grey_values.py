"""What was done to a picture shows in its grey values."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.arrays.grey_values import full_level, noise_correlation, steps_of, wrapped_share
from cacapp.types import Array

Y, X = np.mgrid[:200, :240].astype(float)


def picture(noise: float = 20.0) -> Array:
    light = 300.0 + np.random.default_rng(0).normal(0, noise, Y.shape)
    for n, (cy, cx) in enumerate([(y, x) for y in (40, 100, 160) for x in (40, 120, 200)]):
        light += (1000 + 100 * n) * np.exp(-((Y - cy) ** 2 + (X - cx) ** 2) / 8)
    return np.clip(light, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("level", [700, 1237, 1601])
@pytest.mark.parametrize("factor", [1, 16, 37])
def test_dots_cut_off_at_any_value_are_full_there(level: int, factor: int) -> None:
    assert full_level(np.minimum(picture(), level) * np.uint16(factor)) == level * factor


@pytest.mark.parametrize("step", [1, 7, 64])
def test_dots_that_are_whole_are_full_nowhere_below_the_camera(step: int) -> None:
    assert full_level(picture() // np.uint16(step) * np.uint16(step)) == 65535
    assert full_level(np.zeros((20, 20), np.uint16)) == 65535
    assert full_level(np.full((20, 20), 7, np.uint8)) == 255


@pytest.mark.parametrize("step", [1, 16, 257])
def test_the_step_of_stretched_pictures_is_known(step: int) -> None:
    found = steps_of(((picture() >> 4).astype(np.uint32) * step).astype(np.uint16))
    assert (found.step, found.gap) == (step, 1)


def test_pixels_at_the_lowest_value_and_the_gap_above_it() -> None:
    clipped = np.where(picture() < 310, 0, picture() - 309)
    assert steps_of(clipped).lowest == pytest.approx(0.67, abs=0.03)
    assert steps_of(clipped).gap == 1
    assert steps_of(np.where(picture() < 310, 0, picture())).gap == 310
    assert np.isnan(steps_of(np.zeros(0, np.uint16)).step)
    assert steps_of(np.zeros(5, np.uint16)).lowest == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_subtraction_below_zero_is_seen(dtype: type) -> None:
    plane = (picture() >> 4).astype(dtype)
    assert wrapped_share(plane) == 0
    assert wrapped_share(plane - dtype(18)) > 0.1


def test_the_noise_of_a_camera_is_independent_and_that_of_a_treated_picture_is_not() -> None:
    assert abs(noise_correlation(picture())) < 0.1
    assert noise_correlation(cv2.GaussianBlur(picture(), (0, 0), 0.8)) > 0.4
    assert noise_correlation(cv2.resize(picture(), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)) > 0.4
    assert np.isnan(noise_correlation(np.zeros((30, 30), np.uint16)))
    assert np.isnan(noise_correlation(np.zeros((30, 5), np.uint16)))
