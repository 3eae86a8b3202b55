"""One dot or two: two Gaussians against one, on pixels made of known Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from cacapp.fish.signals.copies import fit_pairs
from cacapp.types import Array, Signals

YY, XX = np.mgrid[:60, :80]


def gaussian(y: float, x: float, height: float, sigma: float) -> Array:
    return np.asarray(height * np.exp(-((YY - y) ** 2 + (XX - x) ** 2) / (2 * sigma**2)))


def noisy(light: Array, seed: int = 3) -> Array:
    return np.asarray(300 + light + np.random.default_rng(seed).normal(0, 20, light.shape), np.float32)


def dots(*yx: tuple[float, float], height: float = 1500, sigma: float = 2.0) -> Signals:
    n = len(yx)
    return Signals(np.array(yx, np.float32), np.full(n, 40, np.float32), np.full(n, height, np.float32), np.full(n, sigma, np.float32))


@pytest.mark.parametrize("distance", [4.5, 6.0, 8.0])
@pytest.mark.parametrize("second", [1500, 700])
def test_separation_and_heights_of_two_dots_are_those_they_were_made_with(distance: float, second: float) -> None:
    light = gaussian(30, 30, 1500, 2) + gaussian(30, 30 + distance, second, 2)
    fit = fit_pairs(noisy(light), dots((30.3, 30.4), (29.8, 29.8 + distance)), 9)
    assert fit.index.tolist() == [[0, 1]]
    assert fit.two[0]
    assert abs(fit.separation_px[0] - distance) < 0.4
    assert np.allclose(fit.amplitude[0], [1500, second], rtol=0.1)


def test_a_diffuse_dot_with_two_maxima_is_one() -> None:
    fit = fit_pairs(noisy(gaussian(30, 32, 900, 3.4)), dots((30, 29), (30, 35), height=800), 9)
    assert not fit.two[0]


def test_only_close_pairs_are_fitted_and_the_frames_edge_is_no_obstacle() -> None:
    light = gaussian(0.5, 0.5, 1500, 2) + gaussian(1, 6, 1500, 2) + gaussian(40, 60, 1500, 2)
    fit = fit_pairs(noisy(light), dots((0.5, 0.5), (1, 6), (40, 60)), 9)
    assert fit.index.tolist() == [[0, 1]]
    assert abs(fit.separation_px[0] - np.hypot(0.5, 5.5)) < 0.5


def test_without_light_to_fit_leaves_the_dots_as_they_were() -> None:
    fit = fit_pairs(np.zeros((60, 80), np.uint16), dots((30, 30), (30, 34)), 9)
    assert np.isclose(fit.separation_px[0], 4)
    assert fit_pairs(np.zeros((60, 80), np.uint16), dots((30, 30)), 9).index.shape == (0, 2)
    assert fit_pairs(np.zeros((60, 80), np.uint16), Signals.empty(), 9).index.shape == (0, 2)
