"""The size of nuclei whose structure is resolved is that of their outlines; colonies and ordinary nuclei are measured as ever."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacapp.algorithms.watershed import Watershed
from cacapp.arrays.background import levels
from cacapp.arrays.nuclear_size import nuclear_diameter
from cacapp.arrays.regions import inscribed_diameter
from cacapp.types import Array


def disk(shape: tuple[int, int], y: float, x: float, radius: float, flat: float = 1.0) -> Array:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(((rows - y) / radius) ** 2 + ((cols - x) / (radius * flat)) ** 2 < 1)


def structured(wide_px: int, seed: int = 0) -> Array:
    """Two nuclei with chromatin grains, two dark nucleoli each, and camera noise: (Y, X) uint16."""
    rng = np.random.default_rng(seed)
    shape = (round(1.7 * wide_px), round(3.2 * wide_px))
    grains = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), max(1.5, wide_px / 60))
    grains = np.exp(0.7 * grains / grains.std())
    plane = np.zeros(shape)
    for x in (0.8 * wide_px, 2.3 * wide_px):
        y = 0.85 * wide_px
        nucleus = disk(shape, y, x, wide_px / 2, 1.15)
        plane[nucleus] = 400 * grains[nucleus]
        for side in (-0.2, 0.2):
            plane[disk(shape, y + side * wide_px / 2, x + side * wide_px, wide_px / 9)] *= 0.1
    blurred = cv2.GaussianBlur(plane, (0, 0), 1.5)
    return np.clip(blurred + rng.normal(200, 15, shape), 0, 65535).astype(np.uint16)


def colony(seed: int) -> Array:
    """Some 40 touching nuclei 24 px wide in a round colony: (Y, X) uint16."""
    rng = np.random.default_rng(seed)
    plane = np.zeros((260, 260))
    for row in range(-4, 5):
        for column in range(-4, 5):
            y, x = 21 * row, 24 * column + 12 * (row % 2)
            if np.hypot(y, x) < 80:
                plane[disk((260, 260), 130 + y, 130 + x, 12)] = rng.uniform(800, 1500)
    return np.clip(cv2.GaussianBlur(plane, (0, 0), 1.5) + rng.normal(200, 15, plane.shape), 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("wide_px", [110, 190, 320])
def test_a_nucleus_whose_structure_is_resolved_is_one_object(wide_px: int) -> None:
    plane = structured(wide_px)
    assert nuclear_diameter(plane.astype(np.float32)) == pytest.approx(1.07 * wide_px, rel=0.08)
    regions = Watershed().regions(plane)
    assert len(regions) == 2
    assert all(region.mask.sum() == pytest.approx(np.pi / 4 * 1.15 * wide_px**2, rel=0.15) for region in regions)


@pytest.mark.parametrize("seed", range(3))
def test_a_round_colony_is_no_nucleus(seed: int) -> None:
    plane = colony(seed).astype(np.float32)
    assert nuclear_diameter(plane) == inscribed_diameter(plane > levels(plane).threshold)
    half = np.ascontiguousarray(plane[:, 130:])
    assert nuclear_diameter(half) == inscribed_diameter(half > levels(half).threshold)


def test_an_empty_plane_has_no_size() -> None:
    assert nuclear_diameter(np.full((200, 200), 7, np.float32)) == 0
