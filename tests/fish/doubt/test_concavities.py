"""Cuts run between two concavities of an outline, or on from a deep one."""

from __future__ import annotations

import numpy as np

from cacapp.fish.doubt.concavities import concave_cuts
from cacapp.types import Array, Instance

YY, XX = np.mgrid[:120, :160]


def disk(y: float, x: float, r: float) -> Array:
    return np.asarray((YY - y) ** 2 + (XX - x) ** 2 <= r**2)


def instance(mask: Array) -> Instance:
    rows, cols = np.nonzero(mask)
    top, left = int(rows.min()), int(cols.min())
    crop = mask[top : rows.max() + 1, left : cols.max() + 1]
    return Instance((left, top, crop.shape[1], crop.shape[0]), crop)


def test_a_disk_and_an_ellipse_have_no_concavity() -> None:
    for mask in (disk(60, 80, 35), ((YY - 60) / 25) ** 2 + ((XX - 80) / 45) ** 2 <= 1):
        found = concave_cuts(instance(np.asarray(mask)))
        assert len(found.across.angle) == len(found.onward.angle) == 0


def test_two_disks_in_one_outline_are_cut_between_their_centres() -> None:
    found = concave_cuts(instance(disk(60, 55, 28) | disk(60, 102, 28))).across
    assert len(found.angle) == 1
    assert found.side(np.array([[60.0, 55.0]]))[0, 0] != found.side(np.array([[60.0, 102.0]]))[0, 0]
    assert abs(np.sin(found.angle[0])) < 0.1, "the cut runs along y"
    assert abs(abs(found.offset_px[0]) - 78.5) < 2


def test_a_deep_concavity_on_one_side_is_enough() -> None:
    bean = disk(60, 80, 40) & ~disk(20, 80, 22)
    found = concave_cuts(instance(bean))
    assert len(found.across.angle) == 0
    straight = np.argmin(np.abs(np.sin(found.onward.angle)))
    assert abs(abs(found.onward.offset_px[straight]) - 80) < 3
