"""Thresholds and levels of planes whose levels are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cacapp.arrays.background import levels, neighbourhood_peak, otsu, sample
from cacapp.types import Array

Draw = Callable[..., Array]
greys = st.integers(0, 65535)


@given(greys, greys, st.floats(0.02, 0.98))
def test_the_threshold_parts_two_levels(one: int, two: int, share: float) -> None:
    low, high = sorted((one, two))
    assume(high > low)
    values = np.where(np.arange(4000) < share * 4000, high, low).astype(np.float32)
    assert low <= otsu(values) < high


@given(st.floats(-1e4, 1e4, width=32))
def test_a_constant_has_its_own_value_as_threshold(value: float) -> None:
    assert otsu(np.full(50, value, np.float32)) == value


@given(st.floats(0.1, 100), st.floats(-1000, 1000))
def test_the_threshold_follows_gain_and_offset(gain: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(100, 8, 3000), rng.normal(300, 30, 700)])
    assert otsu(gain * values + offset) == pytest.approx(gain * otsu(values) + offset, rel=0.02, abs=gain * 3)


def test_a_few_saturated_specks_do_not_move_the_threshold() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(100, 8, 30000), rng.normal(300, 30, 7000)]).astype(np.float32)
    specks = np.concatenate([values, np.full(20, 65535, np.float32)])
    assert otsu(specks) == pytest.approx(otsu(values), abs=10)


@pytest.mark.parametrize("noise", [2.0, 5.0, 20.0])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_background_and_noise_are_measured_beside_bright_nuclei(noise: float, share: float) -> None:
    rng = np.random.default_rng(2)
    plane = rng.normal(120, noise, (400, 500)).astype(np.float32)
    plane[:, : int(500 * share)] += 600
    found = levels(plane)
    assert found.background == pytest.approx(120, abs=0.2 * noise)
    assert found.noise == pytest.approx(noise, rel=0.06)
    assert 120 + 4 * noise < found.threshold < 720 - 4 * noise


def test_a_large_plane_is_sampled_evenly() -> None:
    plane = np.tile(np.arange(2000, dtype=np.float32), (2000, 1))
    values = sample(plane)
    assert 500_000 <= len(values) <= 1_100_000
    assert values.mean() == pytest.approx(plane.mean(), rel=0.01)
    assert np.array_equal(sample(plane[:10]), plane[:10].ravel())


def test_the_brightness_around_a_nucleus_is_its_own_and_far_away_the_backgrounds(ellipse: Draw) -> None:
    plane = np.full((300, 300), 10, np.float32)
    plane[50:97, 50:97][ellipse(20, 20)[:47, :47]] = 500
    peak = neighbourhood_peak(plane, 40)
    assert peak.shape == plane.shape
    assert peak[73, 73] > 450
    assert peak[250, 250] == pytest.approx(10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 5)])
def test_tiny_planes_have_levels_too(shape: tuple[int, int]) -> None:
    plane = np.full(shape, 7, np.float32)
    assert levels(plane).background == 7
    assert neighbourhood_peak(plane, 30) == pytest.approx(plane)


@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_in_a_plane_of_one_population_the_threshold_is_above_it_all(tilt: float) -> None:
    plane = np.random.default_rng(3).normal(200, 10, (300, 400)) * (1 - tilt * np.linspace(0, 1, 400))
    found = levels(plane.astype(np.float32))
    assert found.threshold > plane.max()
    assert found.background == pytest.approx(np.median(plane), rel=0.01)


def test_one_nucleus_in_a_large_plane_is_above_the_threshold_and_noise_is_not() -> None:
    plane = np.random.default_rng(3).normal(200, 10, (1500, 1500)).astype(np.float32)
    plane[700:740, 700:740] += 300  # 0.07 % of the plane: no class of its own for Otsu
    found = levels(plane)
    assert 250 < found.threshold < 300
    assert found.noise == pytest.approx(10, rel=0.05)
