"""Focus falls with blur and knows no exposure."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.arrays.focus import focus_of, saturated_share
from cacapp.types import Array, Instance

Draw = Callable[..., Array]


def scene(ellipse: Draw) -> tuple[Array, Instance]:
    """A textured nucleus of radius 20 px on a background of 100, and its instance."""
    mask = ellipse(20, 20)
    texture = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (80, 80)), (0, 0), 1.5)
    plane = np.full((80, 80), 100.0)
    plane[10:57, 12:59][mask] += 2000
    plane += np.where(plane > 1000, 1500 * texture, 0)
    return cv2.GaussianBlur(plane, (0, 0), 1.0), Instance((12, 10, 47, 47), mask)


def test_each_blur_lowers_the_focus(ellipse: Draw) -> None:
    plane, nucleus = scene(ellipse)
    values = [float(focus_of(cv2.GaussianBlur(plane, (0, 0), s).astype(np.uint16), [nucleus])[0]) for s in (0.1, 1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 3 * values[-1]


@settings(max_examples=20)
@given(gain=st.floats(0.3, 12), offset=st.floats(0, 5000))
def test_exposure_and_camera_offset_do_not_change_it(gain: float, offset: float, ellipse: Draw) -> None:
    plane, nucleus = scene(ellipse)
    expected = focus_of(plane.astype(np.uint16), [nucleus])[0]
    assert focus_of((plane * gain + offset).astype(np.uint16), [nucleus])[0] == pytest.approx(expected, rel=0.03)


def test_a_flat_nucleus_has_no_focus_and_no_nuclei_have_none() -> None:
    square = Instance((2, 2, 5, 5), np.ones((5, 5), bool))
    assert focus_of(np.full((10, 10), 50, np.uint8), [square]).tolist() == [0.0]
    assert focus_of(np.full((10, 10), 50, np.uint8), []).shape == (0,)


def test_the_saturated_share_counts_the_nuclei_only() -> None:
    plane = np.zeros((10, 10), np.uint8)
    plane[0, :] = 255
    plane[5, 2:4] = 255
    square = Instance((2, 5, 4, 2), np.ones((2, 4), bool))
    assert saturated_share(plane, [square]) == pytest.approx(2 / 8)
    assert saturated_share(plane.astype(np.uint16), [square]) == 0
    assert saturated_share(plane, []) == 0
