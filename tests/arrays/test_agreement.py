"""Two masks show the same nucleus from an IoU of one half on."""

from __future__ import annotations

import numpy as np

from cacapp.arrays.agreement import has_match
from cacapp.types import Instance


def box(x: int, y: int, w: int = 10, h: int = 10) -> Instance:
    return Instance((x, y, w, h), np.ones((h, w), bool))


def test_a_nucleus_is_found_again_from_the_threshold_on() -> None:
    # 10 x 10 against 10 x 5 inside it: IoU 0.5 exactly; against 10 x 4: 0.4
    assert has_match([box(0, 0), box(50, 0)], [box(0, 0, 10, 5), box(50, 0, 10, 4)]).tolist() == [True, False]
    assert has_match([box(50, 0)], [box(50, 0, 10, 4)], iou=0.4).tolist() == [True]


def test_overlaps_among_the_nuclei_themselves_do_not_count() -> None:
    assert has_match([box(0, 0), box(1, 0)], []).tolist() == [False, False]
    assert has_match([box(0, 0), box(1, 0)], [box(0, 0)]).tolist() == [True, True]


def test_without_nuclei_there_is_nothing_to_find() -> None:
    assert has_match([], [box(0, 0)]).tolist() == []
