"""A channel's shift against DAPI is learnt from the glow of nuclei, whatever dots they hold, and taken back."""

import cv2
import numpy as np
import pytest

from cacapp.arrays.chromatic import Shift, align, estimate_shift, soft_outlines
from cacapp.types import Array, Instance

SHAPE = (520, 520)
CENTRES = [(60 + 80 * r, 60 + 80 * c) for r in range(6) for c in range(6)]
ROWS, COLS = np.mgrid[:520, :520]


def nucleus(y: int, x: int, radius: int) -> Instance:
    yy, xx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return Instance((x - radius, y - radius, 2 * radius + 1, 2 * radius + 1), (yy / radius) ** 2 + (xx / (0.8 * radius)) ** 2 <= 1)


NUCLEI = [nucleus(y, x, 22 + (i % 5) * 3) for i, (y, x) in enumerate(CENTRES)]


def channel(dy: float, dx: float, glow: float = 200.0, dots: bool = True, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    light = np.zeros(SHAPE, np.float32)
    for n in NUCLEI:
        x, y, w, h = n.bbox_xywh
        light[y : y + h, x : x + w] += glow * rng.uniform(0.4, 1) * n.mask
        for _ in range(2 if dots else 0):
            cy, cx = y + h / 2 + rng.uniform(-12, 12), x + w / 2 + rng.uniform(-10, 10)
            light[y : y + h, x : x + w] += 2500 * np.exp(
                -((ROWS[y : y + h, x : x + w] - cy) ** 2 + (COLS[y : y + h, x : x + w] - cx) ** 2) / 8
            )
    moved = cv2.warpAffine(light, np.array([[1, 0, dx], [0, 1, dy]], float), SHAPE[::-1])
    return (rng.poisson((moved + 300) / 2) * 2 + rng.normal(100, 10, SHAPE)).clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize(("dy", "dx"), [(0.8, 0.0), (-1.5, 1.0), (2.0, -2.5), (4.0, 3.0)])
def test_the_shift_is_estimated_although_dots_are_brighter_than_autofluorescence(dy: float, dx: float) -> None:
    found = estimate_shift(channel(dy, dx), soft_outlines(NUCLEI))
    assert (found.y_px, found.x_px) == pytest.approx((dy, dx), abs=0.25)
    assert found.n_nuclei >= 16


@pytest.mark.parametrize("seed", range(4))
def test_without_a_shift_the_plane_is_left_as_it_is(seed: int) -> None:
    plane = channel(0, 0, seed=seed)
    found = estimate_shift(plane, soft_outlines(NUCLEI))
    assert found.is_none
    assert align(plane, found) is plane


def test_nuclei_without_autofluorescence_give_no_shift() -> None:
    assert estimate_shift(channel(2, 2, glow=0, dots=False), soft_outlines(NUCLEI)).n_nuclei == 0
    assert estimate_shift(channel(2, 2), soft_outlines(NUCLEI[:10])).n_nuclei == 0
    assert estimate_shift(channel(2, 2), []).n_nuclei == 0


def test_a_plane_is_moved_back() -> None:
    straight, shifted = channel(0, 0), channel(2, -3)
    back = align(shifted, estimate_shift(shifted, soft_outlines(NUCLEI)))
    assert back.dtype == np.uint16
    inner = np.s_[20:-20, 20:-20]
    level = [cv2.GaussianBlur(p.astype(np.float32), (0, 0), 2)[inner].ravel() for p in (straight, shifted, back)]
    assert np.corrcoef(level[0], level[2])[0, 1] > 0.98
    assert np.corrcoef(level[0], level[1])[0, 1] < 0.8


def test_whole_pixels_keep_their_values() -> None:
    plane = np.arange(30, dtype=np.uint8).reshape(5, 6)
    assert align(plane, Shift(1.0, 2.0, 0.1, 30))[:4, :4].tolist() == plane[1:, 2:].tolist()
