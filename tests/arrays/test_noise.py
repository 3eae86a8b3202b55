"""The noise of a place is that of others with as much light."""

import numpy as np
import pytest

from cacapp.arrays.noise import fit_photon_transfer


def measured(gain: float, floor: float, seed: int = 0, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Levels and sample variances over 400 pixels each."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(200, 3000, n)
    return level, (gain * level + floor) * rng.chisquare(399, n) / 399


@pytest.mark.parametrize(("gain", "floor"), [(2.0, 144.0), (0.5, 10.0), (8.0, -500.0), (0.0, 300.0)])
def test_gain_and_floor_are_learnt(gain: float, floor: float) -> None:
    line = fit_photon_transfer(*measured(gain, floor))
    assert line is not None
    at = np.array([500.0, 1500.0, 2500.0])
    assert line.variance(at) == pytest.approx(gain * at + floor, rel=0.06)


def test_textured_areas_do_not_shift_the_fitted_line() -> None:
    level, variance = measured(2.0, 144.0)
    variance[:40] *= np.random.default_rng(1).uniform(3, 50, 40)
    line = fit_photon_transfer(level, variance)
    assert line is not None
    assert line.variance(np.array([1500.0])) == pytest.approx(3144, rel=0.08)


def test_places_of_one_level_have_one_variance() -> None:
    line = fit_photon_transfer(np.full(30, 500.0), np.full(30, 80.0))
    assert line is not None
    assert line.variance(np.array([100.0, 5000.0])) == pytest.approx(80)


def test_dark_areas_have_no_negative_variance_and_few_places_give_no_estimate() -> None:
    line = fit_photon_transfer(*measured(8.0, -1000.0))
    assert line is not None
    assert line.variance(np.array([0.0]))[0] > 0
    assert fit_photon_transfer(np.arange(9.0), np.ones(9)) is None
