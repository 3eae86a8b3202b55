"""Assignment of dots to nuclei by the nuclei's masks, with a tolerance at the rim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cacapp.types import Array, Instance, OverlapZone

DOTS_AT_ONCE = 50_000  # bounds the memory of a frame full of specks


@dataclass(frozen=True, slots=True)
class Assignment:
    """The nucleus of each of N dots.

    Attributes:
        cell: (N,) int32, index into the nuclei, -1 for a dot outside all of them.
        other: (N,) int32, the second nearest nucleus, where an outline drawn a little otherwise would give it the dot: it is ambiguous.
            -1 where there is none, ``UNSEGMENTED`` where it is no nucleus of the frame.
        in_overlap: (N,) bool, the dot lies inside the masks of two nuclei: they overlap there.
        off: (N,) bool, the dot lies beside the mask of its nucleus.
    """

    cell: Array
    other: Array
    in_overlap: Array
    off: Array

    def take(self, part: slice) -> Assignment:
        """Return the assignment of some of the dots."""
        return Assignment(self.cell[part], self.other[part], self.in_overlap[part], self.off[part])


def assign(
    yx: Array, nuclei: Sequence[Instance], tolerance_px: float, ambiguous_px: float | None = None, zones: Sequence[OverlapZone] = ()
) -> Assignment:
    """Assign each dot to the nearest nucleus within the tolerance; of two equally near (inside both), to the smaller one, which is on top.

    The distance of a dot to a mask is 0 inside it, else that to the centre of the mask's nearest pixel, px.

    Args:
        yx: (N, 2) px, sub-pixel, in the frame's coordinates.
        nuclei: M instances; they may overlap.
        tolerance_px: largest distance to the mask.
        ambiguous_px: a dot is ambiguous where its distance to a second mask plus its depth in the first (its distance to the nearest
            pixel that is not on it) is at most this; ``tolerance_px`` by default. A dot inside two masks always is.
        zones: where nuclei may lie over each other; a dot of the owner in such a zone is ambiguous too.
    """
    n = len(yx)
    cell, other = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    in_overlap, off = np.zeros(n, bool), np.zeros(n, bool)
    if n == 0 or not nuclei:
        return Assignment(cell, other, in_overlap, off)
    reach_px = tolerance_px if ambiguous_px is None else ambiguous_px
    masks = _PaddedMasks(nuclei, max(tolerance_px, reach_px))
    for start in range(0, n, DOTS_AT_ONCE):
        part = slice(start, start + DOTS_AT_ONCE)
        dot, nucleus, distance = masks.near(np.asarray(yx[part], np.float64))
        order = np.lexsort((nucleus, masks.area[nucleus], distance, dot))
        dot, nucleus, distance = dot[order], nucleus[order], distance[order]
        first = np.flatnonzero(np.diff(dot, prepend=-1))
        first = first[distance[first] <= tolerance_px]
        cell[start + dot[first]] = nucleus[first]
        off[start + dot[first]] = distance[first] > 0
        second = first[first + 1 < len(dot)] + 1
        second = second[dot[second] == dot[second - 1]]
        depth = np.array([_depth(nuclei[i], yx[start + d]) for i, d in zip(nucleus[second - 1], dot[second], strict=True)], float)
        second = second[(distance[second] == 0) | (distance[second] + depth <= reach_px)]
        other[start + dot[second]] = nucleus[second]
        in_overlap[start + dot[second]] = distance[second] == 0
    _apply_zones(yx, cell, other, zones)
    return Assignment(cell, other, in_overlap, off)


def _apply_zones(yx: Array, cell: Array, other: Array, zones: Sequence[OverlapZone]) -> None:
    """Set the neighbour of dots that have none and lie in a zone of their nucleus."""
    if not zones:
        return
    pixel = np.floor(np.asarray(yx, float) + 0.5).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    owners = [z.owner for z in zones]
    first, last = np.searchsorted(cell[order], owners), np.searchsorted(cell[order], owners, side="right")
    for zone, start, stop in zip(zones, first.tolist(), last.tolist(), strict=True):
        dots = order[start:stop]
        x, y, w, h = zone.zone.bbox_xywh
        row, col = pixel[dots, 0] - y, pixel[dots, 1] - x
        here = (row >= 0) & (row < h) & (col >= 0) & (col < w) & (other[dots] == -1)
        here[here] = zone.zone.mask[row[here], col[here]]
        other[dots[here]] = zone.other


def _depth(nucleus: Instance, yx: Array) -> float:
    """Return the distance (px) of a dot to the nearest pixel centre off the nucleus, 0 for a dot that is not on it."""
    x, y, w, h = nucleus.bbox_xywh
    row, col = (int(v) for v in np.floor(np.asarray(yx, float) + 0.5) - (y, x))
    if not (0 <= row < h and 0 <= col < w and nucleus.mask[row, col]):
        return 0.0
    # pixels beyond the box's rim cannot be nearer
    reach = min(row + 1, h - row, col + 1, w - col)
    top, left = max(0, row - reach), max(0, col - reach)
    rows, cols = np.nonzero(~nucleus.mask[top : row + reach + 1, left : col + reach + 1])
    away = np.hypot(rows + top + y - yx[0], cols + left + x - yx[1])
    return float(min(away.min(initial=np.inf), yx[0] - y + 1, y + h - yx[0], yx[1] - x + 1, x + w - yx[1]))


class _PaddedMasks:
    """The nuclei's masks laid one after the other, each with a margin as wide as the tolerance."""

    def __init__(self, nuclei: Sequence[Instance], tolerance_px: float) -> None:
        self.tolerance_px = tolerance_px
        self.reach_px = int(np.ceil(tolerance_px + 0.5))
        # Twice the reach: a dot within reach of the box looks that far again.
        margin = 2 * self.reach_px
        box = np.array([i.bbox_xywh for i in nuclei], np.int64)
        self.left, self.top = box[:, 0] - margin, box[:, 1] - margin
        self.width, self.height = box[:, 2] + 2 * margin, box[:, 3] + 2 * margin
        sizes = self.width * self.height
        self.start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.pixels = np.zeros(int(sizes.sum()), bool)
        self.area = np.array([np.count_nonzero(i.mask) for i in nuclei])
        for i, nucleus in enumerate(nuclei):
            plane = self.pixels[self.start[i] : self.start[i] + sizes[i]].reshape(self.height[i], self.width[i])
            plane[margin : margin + box[i, 3], margin : margin + box[i, 2]] = nucleus.mask

    def near(self, yx: Array) -> tuple[Array, Array, Array]:
        """Return all (dot, nucleus, distance px) within the tolerance."""
        pixel = np.floor(yx + 0.5).astype(np.int64)  # half-up: np.rint would send every other tie to the other side
        dot, nucleus = self._in_reach(pixel)
        at = self.start[nucleus] + (pixel[dot, 0] - self.top[nucleus]) * self.width[nucleus] + pixel[dot, 1] - self.left[nucleus]
        distance = np.zeros(len(dot))
        rim = np.flatnonzero(~self.pixels[at])
        r = self.reach_px
        oy, ox = (o.ravel() for o in np.mgrid[-r : r + 1, -r : r + 1])
        fraction = (yx - pixel)[dot[rim]]
        away = np.hypot(oy - fraction[:, :1], ox - fraction[:, 1:])
        away[~self.pixels[at[rim, None] + oy * self.width[nucleus[rim], None] + ox]] = np.inf
        distance[rim] = away.min(axis=1)
        keep = distance <= self.tolerance_px
        return dot[keep], nucleus[keep], distance[keep]

    def _in_reach(self, pixel: Array) -> tuple[Array, Array]:
        """Return all (dot, nucleus) where the dot's pixel lies within reach of the nucleus' box: a band of rows first, then the columns."""
        r = self.reach_px
        by_row = np.argsort(pixel[:, 0], kind="stable")
        rows = pixel[by_row, 0]
        first = np.searchsorted(rows, self.top + r)
        n = np.searchsorted(rows, self.top + self.height - r) - first
        nucleus = np.repeat(np.arange(len(n)), n)
        dot = by_row[np.arange(len(nucleus)) - np.repeat(np.cumsum(n) - n - first, n)]
        column = pixel[dot, 1] - self.left[nucleus]
        keep = (column >= r) & (column < self.width[nucleus] - r)
        return dot[keep], nucleus[keep]
