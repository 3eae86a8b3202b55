"""Signals in the overlap of two nuclei may belong to either: the overlap zone is found by its light, or by the concavity that it leaves."""

from __future__ import annotations

import numpy as np
import pytest

from cacapp.arrays.background import levels
from cacapp.fish.doubt.overlap_zones import find_overlap_zones
from cacapp.fish.doubt.unsegmented import find_unsegmented
from cacapp.types import UNSEGMENTED, Array, Instance, OverlapZone

SHAPE = (200, 260)
YY, XX = np.mgrid[: SHAPE[0], : SHAPE[1]]


def disk(y: float, x: float, r: float) -> Array:
    return np.asarray((YY - y) ** 2 + (XX - x) ** 2 <= r**2)


def instance(mask: Array) -> Instance:
    rows, cols = np.nonzero(mask)
    top, left = rows.min(), cols.min()
    crop = mask[top : rows.max() + 1, left : cols.max() + 1]
    return Instance((int(left), int(top), crop.shape[1], crop.shape[0]), crop)


def painted(zone: OverlapZone) -> Array:
    """The zone in the frame, (Y, X) bool."""
    x, y, _, _ = zone.zone.bbox_xywh
    canvas = np.zeros((SHAPE[0] + 100, SHAPE[1] + 100), bool)
    h, w = zone.zone.mask.shape
    canvas[y + 50 : y + 50 + h, x + 50 : x + 50 + w] = zone.zone.mask
    return canvas[50 : 50 + SHAPE[0], 50 : 50 + SHAPE[1]]


LEFT, RIGHT = disk(100, 90, 36), disk(100, 140, 36)
LENS = LEFT & RIGHT


def light(left: float, right: float, noise: float = 20) -> Array:
    grey = 100 + left * LEFT + right * RIGHT
    return np.asarray(grey + np.random.default_rng(5).normal(0, noise, SHAPE), np.float32)


@pytest.mark.parametrize(("left", "right"), [(3000, 3000), (6000, 2000), (2000, 6000)])
def test_the_overlap_zone_of_two_nuclei_is_found_by_the_light_of_both(left: float, right: float) -> None:
    zones = find_overlap_zones(light(left, right), [instance(LEFT), instance(RIGHT & ~LEFT)], 100)
    [zone] = [z for z in zones if (z.owner, z.other) == (0, 1)]
    found = painted(zone) & LEFT
    assert (found & LENS).sum() > 0.97 * LENS.sum()
    assert (found & ~LENS).sum() < 0.12 * LEFT.sum()


def test_nuclei_that_only_touch_share_no_depth() -> None:
    left, right = disk(100, 70, 36), disk(100, 143, 36)
    grey = np.asarray(100 + 3000 * left + 3000 * right + np.random.default_rng(5).normal(0, 20, SHAPE), np.float32)
    zones = find_overlap_zones(grey, [instance(left), instance(right)], 100)
    assert all((painted(z) & disk(100, 70, 30)).sum() == 0 for z in zones if z.owner == 0)


def test_a_concave_outline_is_completed_under_a_neighbour_of_any_brightness() -> None:
    """The neighbour's light is lost in texture; its hull still covers what the bite took, at least to the chord."""
    square = (np.abs(YY - 100) < 30) & (XX > 120) & (XX < 180)
    zones = find_overlap_zones(light(6000, 0, noise=1500), [instance(LEFT), instance(square & ~LEFT)], 100)
    [zone] = [z for z in zones if (z.owner, z.other) == (0, 1)]
    assert painted(zone)[100, 123]


def test_signals_in_a_thin_appendage_are_ambiguous() -> None:
    hook = (np.abs(YY - 100) < 5) & (XX >= 120) & (XX < 150)
    [zone] = find_overlap_zones(light(3000, 0), [instance(LEFT | hook)], 100)
    assert (zone.owner, zone.other) == (0, UNSEGMENTED)
    assert painted(zone)[100, 145]
    assert not painted(zone)[100, 90]
    assert find_overlap_zones(light(3000, 0), [instance(LEFT)], 100) == []


def test_an_unsegmented_nucleus_makes_signals_in_its_overlap_with_a_neighbour_ambiguous() -> None:
    grey = light(3000, 3000)
    nuclei = [instance(LEFT)]
    [left_out] = find_unsegmented(grey, nuclei, levels(grey))
    area, expected = left_out.mask.sum(), (RIGHT & ~LEFT).sum()
    assert abs(area - expected) < 0.2 * expected
    zones = [z for z in find_overlap_zones(grey, nuclei, 100, [left_out]) if z.other == UNSEGMENTED]
    assert any(painted(z)[100, 115] for z in zones)


def test_a_nucleus_own_halo_is_not_an_unsegmented_nucleus() -> None:
    import cv2

    grey = cv2.GaussianBlur(light(3000, 0), (0, 0), 4)
    assert find_unsegmented(grey, [instance(disk(100, 90, 33))], levels(grey)) == []
    assert find_unsegmented(grey, [], levels(grey)) == []
