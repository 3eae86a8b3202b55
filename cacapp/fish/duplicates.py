"""Nuclei that overlapping frames show twice, found by the stage positions where they are known, and always by the nuclei themselves.

Stages differ in which way their axes run and in how well they come back to a place, so the positions are only where to look: of the four
ways the axes may run, the one that brings most nuclei together is taken for the slide, and each pair of frames is aligned by its nuclei.
Positions in a wrong unit, or none at all, are no obstacle: ``cacapp.fish.overlap`` finds overlaps by triangles of neighbouring nuclei.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.spatial import cKDTree

from cacapp.fish.overlap import overlaps
from cacapp.types import Array

STAGE_ERROR_DIAMETERS = 1.0  # of a median nucleus: how far a stage may be off
SAME_PLACE_DIAMETERS = 0.25  # between the two centres of one nucleus
AREA_RATIO = 1.6  # between the two outlines of one nucleus, at most
MIN_SHARE = 0.5  # of the nuclei that both frames should show whole must be found in both
MIN_MATCHES = 2  # on the slide: one alone could be chance
DIRECTIONS = ((1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True, slots=True)
class View:
    """A frame with its nuclei.

    Attributes:
        stage_yx_um: position of the frame's centre or corner (the same of all frames), µm; None where unknown.
        pixel_size_um: edge length of a pixel; None where unknown.
        shape_px: (height, width).
        ids: N ids of its nuclei.
        yx_px: (N, 2) their centres.
        area_px: (N,).
        evaluable: (N,) bool.
    """

    stage_yx_um: tuple[float, float] | None
    shape_px: tuple[int, int]
    pixel_size_um: float | None
    ids: Sequence[int]
    yx_px: Array
    area_px: Array
    evaluable: Array


def duplicates(views: Sequence[View]) -> dict[int, int]:
    """Id of each nucleus that is a duplicate -> id of the one that stands for it: an evaluable one, the farthest from its frame's edge.

    Args:
        views: the frames of one slide.
    """
    areas = np.concatenate([v.area_px for v in views]) if views else np.zeros(0)
    if not len(areas):
        return {}
    diameter_px = 2 * float(np.sqrt(np.median(areas) / np.pi))
    best: list[tuple[int, int, int, int]] = []
    for direction in DIRECTIONS:
        found = _all_matches(views, direction, diameter_px)
        if len(found) > len(best):
            best = found
    if len(best) < MIN_MATCHES:
        best = []
    best += [
        (o.first, n, o.second, m)
        for o in overlaps([(v.yx_px, v.area_px, v.shape_px, v.pixel_size_um) for v in views])
        for n, m in _matches(views[o.first], views[o.second], np.array(o.shift_yx_px), diameter_px)
    ]
    return _keep_one(views, best)


def _all_matches(views: Sequence[View], direction: tuple[int, int], diameter_px: float) -> list[tuple[int, int, int, int]]:
    """(frame, nucleus, frame, nucleus) of every nucleus seen in both frames of a pair."""
    found = []
    for i, j in combinations(range(len(views)), 2):
        a, b = views[i], views[j]
        if a.stage_yx_um is None or b.stage_yx_um is None or a.pixel_size_um is None:
            continue
        shift = np.array(direction) * np.subtract(b.stage_yx_um, a.stage_yx_um) / a.pixel_size_um
        if (np.abs(shift) >= np.array(a.shape_px)).any():
            continue
        found += [(i, n, j, m) for n, m in _matches(a, b, shift, diameter_px)]
    return found


def _matches(a: View, b: View, shift: Array, diameter_px: float) -> list[tuple[int, int]]:
    """Pairs of nuclei of two frames that are one, where ``yx of a = yx of b + shift`` up to the stage's error; none if too few agree."""
    if not len(a.ids) or not len(b.ids):
        return []
    moved = b.yx_px + shift
    tree, reach, same = cKDTree(moved), STAGE_ERROR_DIAMETERS * diameter_px, SAME_PLACE_DIAMETERS * diameter_px
    near = [(n, m) for n, others in enumerate(tree.query_ball_point(a.yx_px, reach)) for m in others]
    near = [(n, m) for n, m in near if 1 / AREA_RATIO <= a.area_px[n] / b.area_px[m] <= AREA_RATIO]
    if not near:
        return []
    apart = np.array([a.yx_px[n] - moved[m] for n, m in near])
    # the error of the stage is that of most pairs; the mean of those makes it finer
    votes = cKDTree(apart).query_ball_point(apart, same)
    error = apart[votes[int(np.argmax([len(v) for v in votes]))]].mean(axis=0)
    off = np.hypot(*(apart - error).T)
    pairs: list[tuple[int, int]] = []
    for k in np.argsort(off, kind="stable"):
        n, m = near[k]
        if off[k] <= same and all(n != p and m != q for p, q in pairs):
            pairs.append((n, m))
    whole = max(
        _seen_whole(a.yx_px, -(shift + error), b.shape_px, diameter_px), _seen_whole(b.yx_px, shift + error, a.shape_px, diameter_px)
    )
    return pairs if len(pairs) >= MIN_SHARE * whole else []


def _seen_whole(yx_px: Array, shift: Array, shape_px: tuple[int, int], diameter_px: float) -> int:
    """How many of these nuclei lie well inside another frame."""
    there, margin = yx_px + shift, diameter_px
    return int(((there >= margin) & (there <= np.array(shape_px) - 1 - margin)).all(axis=1).sum())


def _keep_one(views: Sequence[View], matches: Sequence[tuple[int, int, int, int]]) -> dict[int, int]:
    """Nuclei that are linked are one, in however many frames; the best view of each stands for all."""
    group: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for i, n, j, m in matches:
        together = group.get((i, n), {(i, n)}) | group.get((j, m), {(j, m)})
        for member in together:
            group[member] = together

    def rank(member: tuple[int, int]) -> tuple[bool, float, int]:
        view, n = views[member[0]], member[1]
        y, x = view.yx_px[n]
        to_edge = min(y, x, view.shape_px[0] - 1 - y, view.shape_px[1] - 1 - x)
        return bool(view.evaluable[n]), float(to_edge), -member[0]

    result = {}
    for together in {id(g): g for g in group.values()}.values():
        kept = max(together, key=rank)
        for member in together - {kept}:
            result[int(views[member[0]].ids[member[1]])] = int(views[kept[0]].ids[kept[1]])
    return result
