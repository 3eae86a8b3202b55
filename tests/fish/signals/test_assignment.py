"""Dots go to nuclei by their masks, with a tolerance at the rim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.fish.signals.assignment import assign
from cacapp.types import UNSEGMENTED, Instance, OverlapZone


def disk(y: float, x: float, radius: float) -> Instance:
    top, left = int(y - radius) - 1, int(x - radius) - 1
    size = int(2 * radius) + 4
    yy, xx = np.mgrid[top : top + size, left : left + size]
    return Instance((left, top, size, size), (yy - y) ** 2 + (xx - x) ** 2 <= radius**2)


def square(left: int, top: int, side: int) -> Instance:
    return Instance((left, top, side, side), np.ones((side, side), bool))


def yx(*points) -> np.ndarray:
    return np.array(points, np.float32).reshape(-1, 2)


def test_a_dot_inside_a_mask_belongs_to_it_and_one_far_away_to_none() -> None:
    a = assign(yx((50, 50), (50, 120), (5, 5)), [disk(50, 50, 20), disk(50, 120, 20)], 2)
    assert a.cell.tolist() == [0, 1, -1]
    assert a.other.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(("distance", "cell"), [(0.0, 0), (1.0, 0), (1.99, 0), (2.0, 0), (2.01, -1), (3.0, -1)])
def test_the_rim_tolerance_ends_where_it_says(distance: float, cell: int) -> None:
    # The square's last column is x = 19.
    assert assign(np.array([[15.0, 19 + distance]]), [square(10, 10, 10)], 2).cell[0] == cell


def test_without_tolerance_only_dots_on_the_mask_count() -> None:
    assert assign(yx((15, 19.4), (15, 19.6), (9.4, 15), (9.5, 15)), [square(10, 10, 10)], 0).cell.tolist() == [0, -1, -1, 0]


def test_between_two_nuclei_the_nearer_one_wins_and_the_dot_is_contested() -> None:
    left, right = square(0, 0, 10), square(13, 0, 10)
    a = assign(yx((5, 10.6), (5, 11.4), (5, 3)), [left, right], 3)
    assert a.cell.tolist() == [0, 1, 0]
    assert a.other.tolist() == [1, 0, -1]
    assert not a.in_overlap.any()


@pytest.mark.parametrize(("x", "other"), [(18.6, 1), (17.0, 1), (16.0, -1), (10.0, -1)])
def test_a_dot_deep_inside_its_nucleus_is_not_contested_however_near_the_other_is(x: float, other: int) -> None:
    # The squares touch at x = 19.5. The deeper the dot, the further the outline would have to be wrong: 0.4 + 1.4, 3 + 2 px ...
    a = assign(np.array([[10.0, x]]), [square(0, 0, 20), square(20, 0, 20)], 2, 6)
    assert (a.cell[0], a.other[0]) == (0, other)


def test_in_an_overlap_the_smaller_nucleus_lies_on_top_and_the_dot_is_shared() -> None:
    big, small = disk(50, 50, 30), disk(50, 80, 15)
    a = assign(yx((50, 72), (50, 40), (50, 90)), [big, small], 1)
    assert a.cell.tolist() == [1, 0, 1]
    assert a.other.tolist() == [0, -1, -1]
    assert a.in_overlap.tolist() == [True, False, False]


def test_a_hole_of_a_mask_is_outside() -> None:
    mask = np.ones((21, 21), bool)
    mask[5:16, 5:16] = False
    assert assign(yx((10, 10), (10, 2)), [Instance((0, 0, 21, 21), mask)], 2).cell.tolist() == [-1, 0]


def test_dots_beyond_the_frame_edge_of_a_nucleus_still_find_it() -> None:
    assert assign(yx((-1.2, 3), (-5, 3)), [square(0, 0, 10)], 2).cell.tolist() == [0, -1]


def test_without_dots_or_nuclei_nothing_is_assigned() -> None:
    assert assign(yx(), [square(0, 0, 5)], 2).cell.shape == (0,)
    assert assign(yx((1, 1)), [], 2).cell.tolist() == [-1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 2.0, 3.5]))
def test_assignment_agrees_with_a_search_over_every_pixel(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    nuclei = [disk(*rng.uniform(10, 70, 2), rng.uniform(3, 12)) for _ in range(6)]
    dots = rng.uniform(0, 80, (40, 2))
    a = assign(dots, nuclei, tolerance)
    for i, (y, x) in enumerate(dots):
        distances, depths = [], []
        for n in nuclei:
            left, top, w, h = n.bbox_xywh
            rows, cols = np.nonzero(n.mask)
            inside = 0 <= round(y) - top < h and 0 <= round(x) - left < w and n.mask[round(y) - top, round(x) - left]
            distances.append(0.0 if inside else float(np.hypot(rows + top - y, cols + left - x).min()))
            off_rows, off_cols = np.nonzero(~np.pad(n.mask, 1))
            depths.append(float(np.hypot(off_rows + top - 1 - y, off_cols + left - 1 - x).min()) if inside else 0.0)
        near = [d for d in distances if d <= tolerance]
        assert (a.cell[i] >= 0) == bool(near)
        assert a.in_overlap[i] == (near.count(0.0) > 1)
        contested = len(near) > 1 and (near.count(0.0) > 1 or sorted(near)[1] + depths[a.cell[i]] <= tolerance)
        assert (a.other[i] >= 0) == contested
        if near:
            assert distances[a.cell[i]] == min(distances)


def test_a_dot_in_a_zone_that_a_neighbour_claims_is_contested_whoever_the_neighbour_is() -> None:
    nuclei = [square(10, 10, 40), square(10, 60, 40)]
    zone = np.zeros((40, 40), bool)
    zone[:, 25:] = True
    left = Instance((10, 10, 40, 40), zone)
    dots = yx((20, 20), (20, 40), (20, 70))
    assert assign(dots, nuclei, 2).other.tolist() == [-1, -1, -1]
    assert assign(dots, nuclei, 2, zones=[OverlapZone(0, 1, left)]).other.tolist() == [-1, 1, -1]
    assert assign(dots, nuclei, 2, zones=[OverlapZone(0, UNSEGMENTED, left)]).other.tolist() == [-1, UNSEGMENTED, -1]
