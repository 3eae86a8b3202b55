"""Frames that overlap are found by their nuclei alone, and frames that do not are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from cacapp.fish.duplicates import View, duplicates
from cacapp.fish.overlap import overlaps
from tests.fish.test_duplicates import spread

SIDE = 900


def frame(world: np.ndarray, areas: np.ndarray, corner: tuple[float, float], rng: np.random.Generator, missed: float = 0.05):
    there = world - corner
    seen = ((there > 5) & (there < SIDE - 5)).all(axis=1) & (rng.random(len(world)) > missed)
    return (
        there[seen] + rng.normal(0, 0.6, (int(seen.sum()), 2)),
        areas[seen] * np.exp(rng.normal(0, 0.03, int(seen.sum()))),
        np.flatnonzero(seen),
    )


@pytest.mark.parametrize("corner", [(0, 620), (600, 20), (-640, -10), (3, 2)])
def test_a_field_s_neighbour_is_found_without_positions_in_whatever_direction(corner: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    world = spread(rng, 260, 1600, 1600) - 400
    areas = 2000 * np.exp(rng.normal(0, 0.2, len(world)))
    views = []
    for k, at in enumerate([(0.0, 0.0), corner]):
        yx, area, names = frame(world, areas, at, rng)
        views.append(View(None, (SIDE, SIDE), None, [10_000 * k + int(i) for i in names], yx, area, np.ones(len(yx), bool)))
    both = {i for i in views[0].ids if i + 10_000 in views[1].ids}
    found = duplicates(views)
    assert len(both) > 8
    assert all(a % 10_000 == b % 10_000 for a, b in found.items())
    assert len(found) >= 0.9 * len(both)


@pytest.mark.parametrize("seed", range(5))
def test_frames_of_different_places_do_not_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(20):
        yx = spread(rng, 60, SIDE, SIDE)
        frames.append((yx, 2000 * np.exp(rng.normal(0, 0.2, len(yx))), (SIDE, SIDE), None))
    assert overlaps(frames) == []


def test_a_lattice_of_equal_nuclei_is_no_evidence_of_overlap() -> None:
    """Cells that stand as regularly as a grid look alike at many shifts: without positions nothing is dropped for that."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(60, 840, 110), np.arange(60, 840, 110)), -1).reshape(-1, 2).astype(float)
    frames = [(grid + rng.normal(0, 12, grid.shape), 2000 * np.exp(rng.normal(0, 0.2, len(grid))), (SIDE, SIDE), None) for _ in range(6)]
    assert overlaps(frames) == []


def test_frames_without_nuclei_are_nothing() -> None:
    empty = (np.zeros((0, 2)), np.zeros(0), (SIDE, SIDE), None)
    assert overlaps([empty, empty]) == []
    assert overlaps([]) == []
