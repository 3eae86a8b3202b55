"""The dot detector reports place, height and width of Gaussian dots, and no dots where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp import host as guard
from cacapp.algorithms.log import LogDetector
from cacapp.types import Array, Instance, Signals

PIXEL_UM = 0.12
RADIUS = 35
Dot = tuple[float, float, float, float]  # y, x, amplitude, sigma px


def disk(y: int, x: int, shape: tuple[int, int], radius: int = RADIUS) -> Instance:
    """A round nucleus, cut at the frame's edge."""
    top, left = max(0, y - radius), max(0, x - radius)
    bottom, right = min(shape[0], y + radius + 1), min(shape[1], x + radius + 1)
    rows, cols = np.mgrid[top:bottom, left:right]
    return Instance((left, top, right - left, bottom - top), (rows - y) ** 2 + (cols - x) ** 2 <= radius**2)


def plane(
    dots: Sequence[Dot] = (),
    shape: tuple[int, int] = (100, 100),
    background: Array | float = 400.0,
    gain: float = 1.0,
    seed: int = 0,
) -> Array:
    """(Y, X) uint16: background and dots under Poisson noise (none for gain 0)."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    light = np.zeros(shape) + background
    for y, x, amplitude, sigma in dots:
        light += amplitude * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * sigma**2))
    if gain:
        light = np.random.default_rng(seed).poisson(np.maximum(light, 0) / gain) * gain
    return np.rint(np.clip(light, 0, 65535)).astype(np.uint16)


def find(image: Array, nuclei: Sequence[Instance], pixel_size_um: float | None = PIXEL_UM, min_snr: float = 8.0) -> Signals:
    """Candidates of at least this SNR, through the guard."""
    found = guard.detect(LogDetector(), image, nuclei, pixel_size_um)
    return found.take(found.snr >= min_snr)


SHAPE = (100, 100)
NUCLEUS = disk(50, 50, SHAPE)
ROWS, COLS = np.mgrid[:100, :100]
BACKGROUNDS = {
    "flat": 400.0,
    "sloped": 300 + 4.0 * COLS + 2.0 * ROWS,
    "glowing": 200 + cv2.GaussianBlur(600.0 * ((ROWS - 50) ** 2 + (COLS - 50) ** 2 <= 35**2), (0, 0), 4),
    "textured": 500 + 40 * cv2.GaussianBlur(np.random.default_rng(9).normal(0, 12, (100, 100)), (0, 0), 6),
}


@pytest.mark.parametrize("background", BACKGROUNDS)
@settings(max_examples=20, deadline=None)
@given(y=st.floats(35, 65), x=st.floats(35, 65), amplitude=st.floats(3000, 20000), sigma=st.floats(1.5, 3.2), seed=st.integers(0, 99))
def test_a_bright_dot_is_measured(background: str, y: float, x: float, amplitude: float, sigma: float, seed: int) -> None:
    found = find(plane([(y, x, amplitude, sigma)], background=BACKGROUNDS[background], seed=seed), [NUCLEUS])
    assert len(found) == 1
    assert found.yx[0] == pytest.approx((y, x), abs=0.1)
    assert found.amplitude[0] == pytest.approx(amplitude, rel=0.1 if sigma >= 2 else 0.16)  # a small dot's top lies between pixels
    assert found.sigma_px[0] == pytest.approx(sigma, rel=0.25)
    assert found.snr[0] > 25


def test_snr_is_height_over_the_noise_of_the_nucleus() -> None:
    values = [float(find(plane([(50, 50, a, 2)]), [NUCLEUS], min_snr=3).snr.max()) for a in (200, 400, 800, 1600)]
    assert [b / a for a, b in pairwise(values)] == pytest.approx([2, 2, 2], rel=0.2)
    noisier = float(find(plane([(50, 50, 1600, 2)], background=1600.0), [NUCLEUS], min_snr=3).snr.max())
    assert noisier == pytest.approx(values[-1] / 2, rel=0.25)


@pytest.mark.parametrize("radius", [26, 30, 35])
def test_many_bright_dots_do_not_hide_a_weak_one_of_their_nucleus(radius: int) -> None:
    ring = [(50 + 0.6 * radius * np.sin(a), 50 + 0.6 * radius * np.cos(a)) for a in np.linspace(0, 2 * np.pi, 6)[:-1]]
    weak = [(*ring[0], 300.0, 2.0)]
    alone = find(plane(weak), [disk(50, 50, SHAPE, radius)])
    among = find(plane(weak + [(y, x, 4000.0, 2.0) for y, x in ring[1:]]), [disk(50, 50, SHAPE, radius)])
    assert len(alone) == 1
    assert len(among) == 5
    assert among.snr.min() == pytest.approx(alone.snr[0], rel=0.4)


def test_empty_nuclei_with_noise_hold_no_dots() -> None:
    places = [(45 + 90 * r, 45 + 90 * c) for r in range(10) for c in range(20)]
    shape = (910, 1810)
    nuclei = [disk(y, x, shape) for y, x in places]
    glow = np.full(shape, 150.0)
    for nucleus in nuclei:
        x, y, w, h = nucleus.bbox_xywh
        glow[y : y + h, x : x + w] += 250 * nucleus.mask
    image = plane([], shape, cv2.GaussianBlur(glow, (0, 0), 3), gain=2.0)
    assert len(nuclei) == 200
    assert len(find(image, nuclei)) == 0


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 4, np.pi / 2])
def test_two_dots_eleven_pixels_apart_are_two(angle: float) -> None:
    dy, dx = 5.5 * np.sin(angle), 5.5 * np.cos(angle)
    found = find(plane([(50 - dy, 50 - dx, 3000, 2), (50 + dy, 50 + dx, 2500, 2)]), [NUCLEUS])
    assert len(found) == 2
    order = np.argsort(found.yx @ (dy, dx))
    assert found.yx[order] == pytest.approx(np.array([(50 - dy, 50 - dx), (50 + dy, 50 + dx)]), abs=0.25)


def test_many_dots_of_one_nucleus_are_all_found() -> None:
    dots = [(50 + 20 * np.sin(a), 50 + 20 * np.cos(a), 2000.0, 2.0) for a in np.linspace(0, 2 * np.pi, 6)[:-1]]
    assert len(find(plane(dots), [NUCLEUS])) == 5


def test_dots_outside_nuclei_are_not_reported() -> None:
    image = plane([(50, 50, 3000, 2), (8, 8, 9000, 2), (92, 50, 9000, 2)])
    found = find(image, [NUCLEUS])
    assert len(found) == 1
    assert found.yx[0] == pytest.approx((50, 50), abs=0.1)


def test_a_dot_a_little_outside_the_mask_is_reported_for_assignment_to_judge() -> None:
    assert len(find(plane([(50, 50 + RADIUS + 2, 3000, 2)]), [NUCLEUS])) == 1


@pytest.mark.parametrize(("y", "x"), [(0, 50), (50, 0), (99, 50), (50, 99), (0, 0), (99, 99)])
def test_a_nucleus_at_the_frames_edge_keeps_its_dots_and_gains_none(y: int, x: int) -> None:
    nucleus = disk(y, x, SHAPE)
    centre = (np.clip(y, 15, 84), np.clip(x, 15, 84))
    found = find(plane([(float(centre[0]), float(centre[1]), 3000, 2)]), [nucleus])
    assert len(found) == 1
    assert found.yx[0] == pytest.approx(centre, abs=0.1)
    assert len(find(plane(), [nucleus])) == 0


def test_a_dot_on_the_frames_last_row_is_inside_the_frame() -> None:
    found = find(plane([(99, 50, 5000, 2)]), [disk(99, 50, SHAPE)])
    assert len(found) == 1
    assert found.yx[0] == pytest.approx((99, 50), abs=0.5)


def test_a_dot_seen_from_two_overlapping_nuclei_is_reported_once() -> None:
    pair = [disk(50, 35, SHAPE, 25), disk(50, 65, SHAPE, 25)]
    assert len(find(plane([(50, 50, 3000, 2)]), pair)) == 1


def test_without_nuclei_there_are_no_dots() -> None:
    assert len(find(plane([(50, 50, 3000, 2)]), [])) == 0


@pytest.mark.parametrize("value", [0, 400, 65535])
def test_a_plane_of_one_value_has_no_dots(value: int) -> None:
    assert len(find(np.full(SHAPE, value, np.uint16), [NUCLEUS], min_snr=0)) == 0


@pytest.mark.parametrize("offset", [1000, 20000])
def test_a_constant_added_by_the_camera_changes_nothing(offset: int) -> None:
    image = plane([(40, 45, 2000, 2), (60, 60, 900, 2)])
    nuclei = [NUCLEUS, disk(20, 20, SHAPE, 15), disk(85, 80, SHAPE, 12)]
    one, two = find(image, nuclei, min_snr=0), find(image + np.uint16(offset), nuclei, min_snr=0)
    assert len(one) == len(two)
    assert two.yx == pytest.approx(one.yx, abs=0.02)
    assert two.snr == pytest.approx(one.snr, rel=0.01)


def test_neighbours_in_the_mosaic_do_not_change_a_nucleus_dots() -> None:
    shape = (100, 400)
    background = 300.0 + 20000 * (np.mgrid[:100, :400][1] > 250)
    image = plane([(50, 50, 2000, 2), (40, 60, 900, 2)], shape, background)
    dark, bright = disk(50, 50, shape), disk(50, 340, shape)
    alone, beside = find(image, [dark]), find(image, [dark, bright, replace(bright)])
    near = beside.take(beside.yx[:, 1] < 150)
    assert near.yx == pytest.approx(alone.yx, abs=0.02)
    assert near.amplitude == pytest.approx(alone.amplitude, rel=0.01)


def test_gain_changes_amplitude_only() -> None:
    image = plane([(40, 45, 2000, 2), (60, 60, 900, 2)], gain=0)
    noisy = plane([(40, 45, 2000, 2), (60, 60, 900, 2)])
    assert len(find(image, [NUCLEUS])) == 2
    one, two = find(noisy, [NUCLEUS]), find(noisy * np.uint16(4), [NUCLEUS])
    assert two.yx == pytest.approx(one.yx, abs=0.02)
    assert two.snr == pytest.approx(one.snr, rel=0.01)
    assert two.amplitude == pytest.approx(4 * one.amplitude, rel=0.01)


def test_8_bit_planes_are_read_as_they_are() -> None:
    image = np.minimum(plane([(50, 50, 150, 2)], background=40.0, gain=1.0), 255).astype(np.uint8)
    found = find(image, [NUCLEUS])
    assert len(found) == 1
    assert found.yx[0] == pytest.approx((50, 50), abs=0.25)


@pytest.mark.parametrize("zoom", [1, 2])
def test_without_pixel_size_the_nuclei_set_the_scale(zoom: int) -> None:
    shape = (100 * zoom, 100 * zoom)
    nucleus = disk(50 * zoom, 50 * zoom, shape, RADIUS * zoom)
    found = find(plane([(50.0 * zoom, 45.0 * zoom, 4000, 2.0 * zoom)], shape), [nucleus], pixel_size_um=None)
    assert len(found) == 1
    assert found.yx[0] == pytest.approx((50 * zoom, 45 * zoom), abs=0.2)
    assert found.sigma_px[0] == pytest.approx(2 * zoom, rel=0.25)


def test_an_edge_of_bright_debris_is_not_a_string_of_dots() -> None:
    image = plane(background=np.where(COLS > 60, 3000.0, 400.0))
    assert len(find(image, [NUCLEUS])) <= 1


def test_a_one_pixel_nucleus_and_a_tiny_plane_give_no_error() -> None:
    dot = Instance((0, 0, 1, 1), np.ones((1, 1), bool))
    find(np.ones((1, 1), np.uint8), [dot])
    find(plane(), [dot, NUCLEUS])
