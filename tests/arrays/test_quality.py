"""A channel's quality from drawn pixels: background, saturation, focus, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.arrays.grey_values import full_level
from cacapp.arrays.quality import blockiness, plane_quality, plateaus, saturated_shares
from cacapp.types import Array, Instance

RADIUS_PX = 3.25
Y, X = np.mgrid[:260, :260].astype(float)
CENTRES = [(50 + 80 * i, 50 + 80 * j) for i in range(3) for j in range(3)]


def nuclei() -> list[Instance]:
    y, x = np.mgrid[-25:26, -25:26]
    return [Instance((cx - 25, cy - 25, 51, 51), y**2 + x**2 <= 625) for cy, cx in CENTRES]


def probe(sigma: float = 1.5, height: float = 2000, offset: float = 100) -> Array:
    """Two Gaussian dots a nucleus on a dim background with noise."""
    plane = offset + np.random.default_rng(0).normal(0, 5, Y.shape)
    for cy, cx in CENTRES:
        plane += 40 * (np.hypot(Y - cy, X - cx) <= 25)
        for dy in (-9, 9):
            plane += height * (1.5 / sigma) ** 2 * np.exp(-((Y - cy - dy) ** 2 + (X - cx) ** 2) / (2 * sigma**2))
    return np.clip(plane, 0, 65535).astype(np.uint16)


def test_background_and_noise_are_those_outside_the_nuclei() -> None:
    q = plane_quality(probe(), nuclei(), RADIUS_PX)
    assert q.background == pytest.approx(100, abs=2)
    assert q.noise == pytest.approx(5, rel=0.25)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0, 4.0])
def test_sharpness_is_what_a_gaussian_dot_loses_half_a_diameter_away(sigma: float) -> None:
    q = plane_quality(probe(sigma, height=8000), nuclei(), RADIUS_PX)
    assert q.sharpness == pytest.approx(1 - np.exp(-(RADIUS_PX**2) / (2 * sigma**2)), abs=0.08)


def test_a_counterstain_fills_nuclei_and_a_probe_does_not() -> None:
    stain = (100 + 2000 * np.any([np.hypot(Y - cy, X - cx) <= 25 for cy, cx in CENTRES], axis=0)).astype(np.uint16)
    assert plane_quality(stain, nuclei(), RADIUS_PX).fill > 0.9
    assert plane_quality(probe(), nuclei(), RADIUS_PX).fill < 0.1


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
def test_a_full_pixel_is_known_for_every_camera(top: int) -> None:
    plane = np.full(Y.shape, 100, np.uint16)
    cy, cx = CENTRES[0]
    plane[cy - 25 : cy + 1, cx - 25 : cx + 26] = top
    shares = saturated_shares(plane, nuclei(), top)
    assert full_level(plane) == top
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1:].tolist() == [0] * 8


def test_without_full_pixels_nothing_is_saturated() -> None:
    assert saturated_shares(probe(), nuclei(), 65535).tolist() == [0] * 9
    assert plane_quality(probe(), [], RADIUS_PX).saturated.tolist() == []


def test_a_jpeg_shows_its_blocks_and_a_camera_none() -> None:
    eight = np.clip(probe() / 9, 0, 255).astype(np.uint8)
    done, coded = cv2.imencode(".jpg", eight, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    jpeg = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    assert jpeg is not None
    assert blockiness(eight) == pytest.approx(1, abs=0.05)
    assert blockiness(np.asarray(jpeg)) > 1.1
    assert blockiness(np.zeros((50, 50), np.uint8)) == 1


def test_a_plane_without_nuclei_or_dots_has_no_sharpness() -> None:
    flat = np.full((100, 100), 100, np.uint16)
    for q in (plane_quality(flat, [], RADIUS_PX), plane_quality(flat, nuclei()[:1], RADIUS_PX)):
        assert np.isnan(q.sharpness)
        assert q.background == 100


def test_a_patch_of_full_pixels_has_the_diameter_of_its_disk() -> None:
    plane = np.full(Y.shape, 100, np.uint16)
    for (cy, cx), radius in zip(CENTRES[:2], (4, 8), strict=True):
        plane[np.hypot(Y - cy, X - cx) <= radius] = 3000
    plane[CENTRES[1][0] + 15, CENTRES[1][1]] = 3000  # a patch of its own
    shares = saturated_shares(plane, nuclei(), 3000)
    assert plateaus(plane, nuclei(), 3000, shares).tolist() == pytest.approx([8, 16, 0, 0, 0, 0, 0, 0, 0], rel=0.05)
