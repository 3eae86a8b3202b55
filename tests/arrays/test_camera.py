"""Gain and dark noise are estimated from one image, whatever it shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.arrays.camera import BLOCK_PX, QUARTILE, camera_of
from cacapp.types import Array


def picture(gain: float, read_noise: float, seed: int = 2, texture: float = 0.0) -> Array:
    """Nuclei-like hills of light under a camera of known gain: Poisson electrons, read noise, an offset of 100."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:600, :700]
    light = 150.0 + 40 * np.sin(xx / 200)
    for _ in range(40):
        y, x, r = rng.uniform(0, 600), rng.uniform(0, 700), rng.uniform(20, 40)
        light += rng.uniform(300, 4000) * (np.hypot(yy - y, xx - x) < r) * (1 + texture * rng.standard_normal(light.shape))
    light = cv2.GaussianBlur(light, (0, 0), 2)  # no optics shows a sharp edge
    return np.clip(rng.poisson(np.clip(light, 0, None) / gain) * gain + rng.normal(100, read_noise, light.shape), 0, 65535).astype(
        np.uint16
    )


@pytest.mark.parametrize(("gain", "read_noise"), [(0.5, 5), (2, 12), (6, 30)])
def test_gain_and_dark_noise_are_those_of_the_camera(gain: float, read_noise: float) -> None:
    found = camera_of(picture(gain, read_noise))
    assert found is not None
    assert found.gain == pytest.approx(gain, rel=0.2)
    assert found.dark_noise == pytest.approx(np.sqrt(read_noise**2 + gain * 120), rel=0.12)


def test_a_plane_without_information_gives_no_estimate() -> None:
    assert camera_of(np.full((400, 400), 7, np.uint16)) is None
    assert camera_of(np.zeros((5, 5), np.uint8)) is None


def test_the_quartile_of_pure_noise_is_the_documented_one() -> None:
    noise = np.random.default_rng(1).standard_normal((20_000, BLOCK_PX, BLOCK_PX))
    change = (2 * noise[:, :, 1:-1] - noise[:, :, :-2] - noise[:, :, 2:]) / np.sqrt(6)
    assert np.percentile((change**2).mean(axis=(1, 2)), 25) == pytest.approx(QUARTILE, abs=0.01)
