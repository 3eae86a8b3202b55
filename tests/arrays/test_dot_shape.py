"""Width, flatness and darkness of drawn dots."""

from __future__ import annotations

import numpy as np
import pytest

from cacapp.arrays.dot_shape import dot_shape
from cacapp.types import Array, Instance

DIAMETER_PX = 6.6
Y, X = np.mgrid[:240, :320].astype(float)
CENTRES = [(40 + 80 * i, 40 + 80 * j) for i in range(3) for j in range(4)]


def nuclei() -> list[Instance]:
    y, x = np.mgrid[-25:26, -25:26]
    return [Instance((cx - 25, cy - 25, 51, 51), y**2 + x**2 <= 625) for cy, cx in CENTRES]


def probe(sigma: float = 2.0, height: float = 3000.0) -> Array:
    plane = 200 + np.random.default_rng(3).normal(0, 5, Y.shape)
    for cy, cx in CENTRES:
        for dy in (-9, 9):
            plane += height * np.exp(-((Y - cy - dy - 0.3) ** 2 + (X - cx) ** 2) / (2 * sigma**2))
    return np.clip(plane, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 2.5])
def test_the_width_of_dots_is_known_beside_brighter_spikes(sigma: float) -> None:
    plane = probe(sigma)
    for cy, cx in CENTRES[:4]:
        plane[cy, cx + 8] = 60_000
    assert dot_shape(plane, nuclei(), DIAMETER_PX).sigma_px == pytest.approx(sigma, abs=0.25)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0])
def test_whole_dots_are_not_flat_at_any_width_and_gamma(sigma: float) -> None:
    plane = probe(sigma)
    curved = np.rint(65535 * (plane / 65535) ** 0.5).astype(np.uint16)
    for one in (plane, curved):
        assert 0.18 < dot_shape(one, nuclei(), DIAMETER_PX).flatness < 0.32


def test_dots_cut_off_and_treated_afterwards_are_flat() -> None:
    noise = np.random.default_rng(0).normal(0, 5, Y.shape)
    cut = np.minimum(probe(), 600) + noise
    assert dot_shape(cut, nuclei(), DIAMETER_PX).flatness > 0.45


def test_an_inverted_picture_has_dark_dots() -> None:
    assert dot_shape(probe(), nuclei(), DIAMETER_PX).darkness < 0.1
    assert dot_shape(65535 - probe(), nuclei(), DIAMETER_PX).darkness > 5


def test_without_nuclei_or_dots_nothing_is_known() -> None:
    flat = np.full(Y.shape, 100, np.uint16)
    for found in (dot_shape(flat, nuclei(), DIAMETER_PX), dot_shape(probe(), [], DIAMETER_PX)):
        assert np.isnan([found.sigma_px, found.flatness, found.darkness]).all()
