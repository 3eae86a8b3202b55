"""Treated pictures have what their treatment leaves: zeros, 8 bit, a level at which they saturate."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from cacapp.simulation import SlideModel, simulate_frame
from cacapp.simulation.troubles import Treatment
from cacapp.types import Array


def planes(treatment: str) -> Array:
    return simulate_frame(SlideModel(treatments=(treatment,)), np.random.default_rng(4), 320, 320, 6).planes


def test_a_subtracted_picture_is_0_in_most_pixels_and_keeps_its_dots() -> None:
    plain, treated = planes("none"), planes("subtracted")
    for before, after in zip(plain, treated, strict=True):
        assert (after == 0).mean() > 0.5
        assert after.max() > 0.7 * (before.max() - np.median(before))


def test_a_deconvolved_picture_has_higher_and_narrower_dots() -> None:
    plain, treated = planes("none"), planes("deconvolved")
    assert treated.dtype == np.uint16
    for before, after in zip(plain[1:], treated[1:], strict=True):
        assert after.max() > 1.2 * (int(before.max()) - 100)


@pytest.mark.parametrize("treatment", ["eight-bit", "jpeg"])
def test_an_8_bit_picture_uses_all_its_levels(treatment: str) -> None:
    treated = planes(treatment)
    assert treated.dtype == np.uint8
    assert all((plane.min(), plane.max()) == (0, 255) or treatment == "jpeg" for plane in treated)
    assert all(np.ptp(plane) > 200 for plane in treated)


def test_a_stretched_picture_fills_16_bits_in_each_channel() -> None:
    assert all((plane.min(), plane.max()) == (0, 65535) for plane in planes("stretched"))


def test_a_saturated_picture_ends_at_a_level_of_its_own_that_is_no_power_of_two() -> None:
    for plane in planes("saturated"):
        top = int(plane.max())
        assert (plane == top).sum() >= 10
        assert top & (top + 1)


def test_a_slide_draws_one_of_its_treatments() -> None:
    model = SlideModel(treatments=("none", "eight-bit"))
    drawn = {simulate_frame(model, np.random.default_rng(seed), 64, 64, 0).planes.dtype.name for seed in range(12)}
    assert drawn == {"uint16", "uint8"}


@pytest.mark.parametrize("treatment", get_args(Treatment))
def test_a_dark_8_bit_frame_without_nuclei_is_treated_too(treatment: Treatment) -> None:
    model = SlideModel(treatments=(treatment,), bit_depth=8)
    found = simulate_frame(model, np.random.default_rng(1), 128, 128, 0).planes
    assert (found.shape, found.dtype) == ((5, 128, 128), np.dtype(np.uint8))
