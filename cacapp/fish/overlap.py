"""Frames that overlap, found by their nuclei alone: triangles of neighbouring nuclei that two frames share at one shift.

A shift is believed where so many nuclei agree that chance would give it less than ``FALSE_ALARMS`` times on the whole slide: the number
of tests times the Poisson probability of as many coincidences (a contrario: Desolneux, Moisan and Morel, IJCV 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import poisson

from cacapp.types import Array

NEIGHBOURS = 4  # of a nucleus, with which it forms triangles
EDGE_DIAMETERS = 0.06  # how far an edge of a triangle may differ between two photographs, in diameters of a median nucleus
LOG_AREA = 0.15  # by how much the logarithm of an area may differ
SAME_PLACE_DIAMETERS = 0.12  # between the two centres of one nucleus, once the shift is known
FALSE_ALARMS = 0.01  # expected false overlaps on a slide
MIN_SHARE = 0.5  # of the nuclei that lie well inside both frames
MAX_SHIFTS = 3  # tested for a pair of frames, those that most triangles agree on

Nuclei = tuple[Array, Array, tuple[int, int], float | None]
"""A frame's nuclei: (N, 2) centres px, (N,) areas px², (height, width) px, edge length of a pixel µm."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two frames, by position, that show the same nuclei: a point at ``yx`` of the second is at ``yx + shift_yx_px`` of the first."""

    first: int
    second: int
    shift_yx_px: tuple[float, float]
    matches: int


def overlaps(frames: Sequence[Nuclei]) -> list[Overlap]:
    """Return the pairs of frames that overlap. Frames of different pixel size, or turned against each other, are not compared."""
    counts = [len(yx) for yx, *_ in frames]
    if len(frames) < 2 or not sum(counts):
        return []
    diameter = 2 * float(np.sqrt(np.median(np.concatenate([area for _, area, *_ in frames])) / np.pi))
    found = []
    tests = float(sum(counts[a] * counts[b] for a, b in combinations(range(len(frames)), 2)))
    for (a, b), shifts in _shared_shifts(frames, diameter).items():
        sizes = (frames[a][3], frames[b][3])
        if None not in sizes and abs(sizes[0] - sizes[1]) > 0.01 * sizes[0]:  # type: ignore[operator]
            continue
        tried = [_verified(frames[a], frames[b], shift, diameter, tests) for shift in shifts]
        best = max((t for t in tried if t is not None), key=lambda t: t[1], default=None)
        if best is not None:
            found.append(Overlap(a, b, best[0], best[1]))
    return found


def _triangles(yx: Array, area: Array, diameter: float) -> tuple[Array, Array]:
    """Return (T, 7) two edges and three areas of each triangle, each in units of its tolerance, and (T, 2) its first corner."""
    if len(yx) < 3:
        return np.zeros((0, 7)), np.zeros((0, 2))
    near = cKDTree(yx).query(yx, min(NEIGHBOURS + 1, len(yx)))[1][:, 1:]
    rows = np.concatenate([np.column_stack([np.arange(len(yx)), near[:, i], near[:, j]]) for i, j in combinations(range(near.shape[1]), 2)])
    # a slanted order of the corners: nuclei side by side, as on a grid, differ in it
    order = np.argsort((yx @ [1.0, 0.37])[rows], axis=1)
    corners = np.unique(np.take_along_axis(rows, order, axis=1), axis=0)
    first, second, third = yx[corners[:, 0]], yx[corners[:, 1]], yx[corners[:, 2]]
    edges = np.hstack([second - first, third - first]) / (EDGE_DIAMETERS * diameter)
    return np.hstack([edges, np.log(area[corners]) / LOG_AREA]), first


def _shared_shifts(frames: Sequence[Nuclei], diameter: float) -> dict[tuple[int, int], list[Array]]:
    """Return for each pair of frames with a triangle in common the shifts that its triangles suggest, the most frequent first."""
    each = [_triangles(yx, area, diameter) for yx, area, *_ in frames]
    owner = np.repeat(np.arange(len(frames)), [len(features) for features, _ in each])
    features, corners = np.concatenate([f for f, _ in each]), np.concatenate([c for _, c in each])
    if len(features) < 2:
        return {}
    pairs = cKDTree(features).query_pairs(1.0, p=np.inf, output_type="ndarray")
    pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
    turned = owner[pairs[:, 0]] > owner[pairs[:, 1]]
    pairs[turned] = pairs[turned][:, ::-1]
    shifts: dict[tuple[int, int], list[Array]] = {}
    for i, j in pairs.tolist():
        shifts.setdefault((int(owner[i]), int(owner[j])), []).append(corners[i] - corners[j])
    return {pair: _most_frequent(np.array(own), EDGE_DIAMETERS * diameter) for pair, own in shifts.items()}


def _most_frequent(shifts: Array, reach: float) -> list[Array]:
    groups: list[Array] = []
    while len(shifts) and len(groups) < MAX_SHIFTS:
        votes = cKDTree(shifts).query_ball_point(shifts, 2 * reach)
        best = max(votes, key=len)
        groups.append(np.median(shifts[best], axis=0))
        shifts = np.delete(shifts, best, axis=0)
    return groups


def _verified(a: Nuclei, b: Nuclei, shift: Array, diameter: float, tests: float) -> tuple[tuple[float, float], int] | None:
    """Return the shift and the number of nuclei that agree on it; None where chance could do as much."""
    (yx_a, area_a, shape_a, _), (yx_b, area_b, shape_b, _) = a, b
    reach, tree = SAME_PLACE_DIAMETERS * diameter, cKDTree(yx_a)
    for _ in range(2):  # the second time from the shift that the nuclei agree on
        apart, nearest = tree.query(yx_b + shift)
        same = (apart <= reach) & (np.abs(np.log(area_a[np.minimum(nearest, len(yx_a) - 1)] / area_b)) <= 2 * LOG_AREA)
        if not same.any():
            return None
        shift = np.median(yx_a[nearest[same]] - yx_b[same], axis=0)
    matches = len(np.unique(nearest[same]))
    there = yx_b + shift
    inside = ((there >= 0) & (there < shape_a)).all(axis=1)
    well_inside = ((there >= diameter) & (there <= np.array(shape_a) - 1 - diameter)).all(axis=1)
    well_inside &= ((yx_b >= diameter) & (yx_b <= np.array(shape_b) - 1 - diameter)).all(axis=1)
    expected = int(inside.sum()) * len(yx_a) / (shape_a[0] * shape_a[1]) * np.pi * reach**2
    # one nucleus agrees because the shift was chosen so
    chance = tests * float(poisson.sf(matches - 2, expected))
    if chance > FALSE_ALARMS or int((same & well_inside).sum()) < MIN_SHARE * int(well_inside.sum()):
        return None
    return (float(shift[0]), float(shift[1])), matches
