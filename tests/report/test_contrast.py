"""Contrast: exact percentiles over all frames, one pair of grey values for all cells of a channel."""

from __future__ import annotations

import numpy as np
import pytest

from cacapp.exceptions import CacappError
from cacapp.report.contrast import ContrastLimits, contrast_limits


def test_limits_are_the_percentiles_of_all_frames_together() -> None:
    first = np.arange(0, 5000, dtype=np.uint16).reshape(50, 100)
    second = np.arange(5000, 10_000, dtype=np.uint16).reshape(50, 100)
    limits = contrast_limits([{"DAPI": first, "red": first}, {"DAPI": second, "red": second}], "slide S").limits
    assert limits["DAPI"] == (4999, 9949)  # ranks 5,000 and 9,950 of 10,000
    assert limits["red"] == (4999, 9989)


def test_a_flat_or_black_channel_stretches_without_dividing_by_zero() -> None:
    limits = contrast_limits([{"red": np.zeros((9, 9), np.uint8)}], "slide S")
    assert limits.limits["red"] == (0.0, 1.0)
    assert not limits.stretch(np.zeros((9, 9), np.uint8), "red").any()


def test_the_same_grey_value_is_shown_the_same_in_every_crop() -> None:
    limits = ContrastLimits("slide S", {"red": (100.0, 300.0)}, "rule")
    dim, bright = np.array([[100, 200]], np.uint16), np.array([[200, 60_000]], np.uint16)
    assert limits.stretch(dim, "red").tolist() == [[0.0, 0.5]]
    assert limits.stretch(bright, "red").tolist() == [[0.5, 1.0]]


def test_float_pixels_missing_channels_and_no_frames_are_refused_by_name() -> None:
    with pytest.raises(CacappError, match=r"'gold' of slide S: pixels are float32"):
        contrast_limits([{"gold": np.zeros((3, 3), np.float32)}], "slide S")
    with pytest.raises(CacappError, match="no frame"):
        contrast_limits([], "slide S")
    with pytest.raises(CacappError, match="'gold' of slide S"):
        ContrastLimits("slide S", {"red": (0, 1)}, "rule").stretch(np.zeros((3, 3)), "gold")
