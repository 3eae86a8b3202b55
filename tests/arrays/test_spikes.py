"""Pixels that the optics cannot draw are filled; dots, their noise and their tops stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from cacapp.arrays.spikes import steepest, without_spikes
from cacapp.types import Array, Instance

Y, X = np.mgrid[:240, :320].astype(float)
CENTRES = [(40 + 80 * i, 40 + 80 * j) for i in range(3) for j in range(4)]


def nuclei() -> list[Instance]:
    y, x = np.mgrid[-25:26, -25:26]
    return [Instance((cx - 25, cy - 25, 51, 51), y**2 + x**2 <= 625) for cy, cx in CENTRES]


def probe(sigma: float = 2.0, noise: float = 5.0, height: float = 600.0) -> Array:
    plane = 200 + np.random.default_rng(3).normal(0, noise, Y.shape)
    for cy, cx in CENTRES:
        for dy in (-9, 9):
            plane += height * np.exp(-((Y - cy - dy - 0.3) ** 2 + (X - cx) ** 2) / (2 * sigma**2))
    return np.clip(plane, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize(
    "shape",
    [
        ((0, 0),),
        ((0, 0), (0, 1)),
        ((0, 0), (1, 1)),
        ((0, 0), (0, 1), (1, 0)),
        ((0, 0), (0, 1), (1, 0), (1, 1)),
        tuple((k, 0) for k in range(6)),
    ],
)
@pytest.mark.parametrize("height", [100, 1000, 40_000])
def test_groups_of_pixels_are_filled_on_nuclei_and_on_dots(shape: tuple[tuple[int, int], ...], height: int) -> None:
    plane = probe()
    hit = plane.copy()
    for cy, cx in ((40, 48), (120, 130), (131, 201)):  # the last one is on the flank of a dot
        for dy, dx in shape:
            hit[cy + dy, cx + dx] += height
    found = without_spikes(hit, nuclei(), 1.2, 5.5)
    assert found.n_pixels >= 2 * len(shape)
    quiet = np.abs(found.plane.astype(float) - plane)[:125]
    assert quiet.max() < 40
    assert (found.plane[hit == plane] == plane[hit == plane]).mean() > 0.999


@pytest.mark.parametrize("sigma", [1.2, 2.0, 3.0])
def test_dots_as_narrow_as_the_limit_stay(sigma: float) -> None:
    plane = probe(sigma, height=20_000)
    assert without_spikes(plane, nuclei(), 1.2, 5.5).n_pixels <= 1


def test_noise_of_photons_on_bright_dots_is_no_spike() -> None:
    light = probe(1.5, noise=0.0, height=4000).astype(float)
    plane = np.random.default_rng(0).poisson(light / 40) * 40
    assert without_spikes(plane.astype(np.uint16), nuclei(), 1.2, 5.5, gain=40.0).n_pixels <= 2


def test_a_gaussian_is_as_steep_as_its_formula_says() -> None:
    assert np.exp(0) / np.exp(-1 / (2 * 0.7**2)) == pytest.approx(steepest(0.7))


def test_without_nuclei_or_spikes_the_plane_is_the_same() -> None:
    flat = np.full(Y.shape, 100, np.uint16)
    assert without_spikes(flat, [], 1.2, 5.5).n_pixels == 0
    assert without_spikes(flat, nuclei(), 1.2, 5.5).plane is flat


def test_a_spike_at_the_corner_is_filled() -> None:
    plane = probe()
    plane[0, 0] = 50_000
    assert without_spikes(plane, nuclei(), 1.2, 5.5).plane[0, 0] < 300
