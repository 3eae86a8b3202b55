"""A nucleus in two overlapping frames is one, whichever way the stage's axes run; where frames do not agree nothing is dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacapp.fish.duplicates import DIRECTIONS, View, duplicates

PIXEL_UM = 0.1
SIDE = 1000
RADIUS = 25.0


def spread(rng: np.random.Generator, n: int, height: float, width: float) -> np.ndarray:
    """(n, 2) places in a field, at least a diameter apart."""
    places: list[np.ndarray] = []
    while len(places) < n:
        place = rng.uniform(0, (height, width))
        if all(np.hypot(*(place - p)) > 2 * RADIUS + 4 for p in places):
            places.append(place)
    return np.array(places)


def view(
    world: np.ndarray, corner_px: tuple[float, float], first_id: int, direction=(1, 1), error_px=(0.0, 0.0), rng=None, ok=None
) -> View:
    """What a frame at ``corner_px`` shows of the world's nuclei, those cut by its edge left out; ids tell which nucleus it is."""
    corner = np.array(corner_px)
    there = world - corner
    inside = ((there > RADIUS) & (there < SIDE - RADIUS)).all(axis=1)
    index = np.flatnonzero(inside)
    jitter = 0 if rng is None else rng.normal(0, 0.7, (len(index), 2))
    stage = (corner + error_px) * PIXEL_UM * np.array(direction)
    area = np.pi * RADIUS**2 * (1 + 0.1 * np.sin(index))
    evaluable = np.ones(len(index), bool) if ok is None else np.array([i not in ok for i in index])
    return View(
        (float(stage[0]), float(stage[1])),
        (SIDE, SIDE),
        PIXEL_UM,
        [first_id + int(i) for i in index],
        there[index] + jitter,
        area,
        evaluable,
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(DIRECTIONS), st.floats(-20, 20), st.floats(-20, 20), st.booleans())
def test_every_nucleus_is_counted_once(seed: int, direction: tuple[int, int], dy: float, dx: float, vertical: bool) -> None:
    rng = np.random.default_rng(seed)
    world = spread(rng, 120, 1900, 1900)
    second = (800.0, 10.0) if vertical else (15.0, 780.0)
    a, b = view(world, (0, 0), 0, direction, rng=rng), view(world, second, 10_000, direction, (dy, dx), rng=rng)
    twice = {i for i in a.ids if i + 10_000 in b.ids}
    found = duplicates([a, b])
    if len(twice) < 2:
        return
    assert {frozenset(pair) for pair in found.items()} == {frozenset((i, i + 10_000)) for i in twice}
    assert len(set(a.ids) | set(b.ids)) - len(found) == len({i % 10_000 for i in (*a.ids, *b.ids)})


def test_a_nucleus_where_four_frames_meet_is_counted_once() -> None:
    world = spread(np.random.default_rng(1), 150, 1700, 1700)
    views = [view(world, c, 10_000 * k) for k, c in enumerate([(0, 0), (0, 700), (700, 0), (700, 700)])]
    found = duplicates(views)
    everyone = [i for v in views for i in v.ids]
    assert len(everyone) - len(found) == len({i % 10_000 for i in everyone})
    assert all(dropped % 10_000 == kept % 10_000 and kept not in found for dropped, kept in found.items())


def test_the_evaluable_view_is_kept_then_the_one_farther_from_its_edge() -> None:
    world = np.array([[500.0, 820.0], [300.0, 900.0], [700.0, 860.0]])
    a, b = view(world, (0, 0), 0), view(world, (0, 700), 10_000)
    # In frame a they lie 180, 100 and 140 px from the edge, in frame b 120, 200 and 160.
    assert duplicates([a, b]) == {10_000: 0, 1: 10_001, 2: 10_002}
    assert duplicates([a, view(world, (0, 700), 10_000, ok={1})]) == {10_000: 0, 10_001: 1, 2: 10_002}


@pytest.mark.parametrize("corner", [(0.0, 0.0), (0.0, 500.0)])
def test_frames_that_only_claim_to_overlap_lose_nothing(corner: tuple[float, float]) -> None:
    rng = np.random.default_rng(2)
    a = view(spread(rng, 60, SIDE, SIDE), (0, 0), 0)
    b = view(spread(rng, 60, SIDE, SIDE), (0, 0), 10_000)
    moved = View((corner[0] * PIXEL_UM, corner[1] * PIXEL_UM), b.shape_px, PIXEL_UM, b.ids, b.yx_px, b.area_px, b.evaluable)
    assert duplicates([a, moved]) == {}


def test_frames_apart_one_frame_or_none_have_no_duplicates() -> None:
    world = spread(np.random.default_rng(3), 100, 2200, 2200)
    assert duplicates([view(world, (0, 0), 0), view(world, (1100, 1100), 10_000)]) == {}
    assert duplicates([view(world, (0, 0), 0)]) == {}
    assert duplicates([]) == {}
    empty = View((0.0, 0.0), (SIDE, SIDE), PIXEL_UM, [], np.zeros((0, 2)), np.zeros(0), np.zeros(0, bool))
    assert duplicates([empty, view(world, (0, 0), 0)]) == {}
