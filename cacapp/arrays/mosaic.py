"""Crops of a plane on one canvas: one filter call serves all nuclei, without the empty background between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from cacapp.types import Array, Instance


@dataclass(frozen=True, slots=True)
class Mosaic:
    """A (Y, X) float32 canvas of crops, each with ``margin_px`` of the frame around its box.

    Attributes:
        canvas: the pixels; crops lie side by side, and 0 where there is none: a filter's reach must stay within the margin.
        owner: (Y, X) int32, 1 + index of the nucleus of the crop, 0 between crops.
        inside: (Y, X) bool, on the owner's mask.
        shift_yx: (N, 2) int, add to a canvas position to get the frame position.
        windows: the crop of each nucleus in the canvas.
        shelves: rows of the canvas that hold whole crops, top down: a filter may take one after the other, in the processor's cache.
        on_shelf: for each shelf the indices of its nuclei.
    """

    canvas: Array
    owner: Array
    inside: Array
    shift_yx: Array
    windows: tuple[tuple[slice, slice], ...]
    shelves: tuple[slice, ...]
    on_shelf: tuple[Array, ...]

    def of(self, plane: Array) -> Mosaic:
        """Return the canvas with the same crops of another plane."""
        canvas = np.zeros(self.owner.shape, np.float32)
        for window, shift in zip(self.windows, self.shift_yx.tolist(), strict=True):
            (top, bottom), (left, right) = ((s.start + d, s.stop + d) for s, d in zip(window, shift, strict=True))
            canvas[window] = _crop(plane, top, left, bottom - top, right - left)
        return replace(self, canvas=canvas)


def pack(plane: Array, nuclei: Sequence[Instance], margin_px: int, width_px: int = 2048) -> Mosaic:
    """Pack the crops of nuclei in rows, tallest first.

    Args:
        plane: (Y, X) of any numeric dtype.
        nuclei: N instances.
        margin_px: frame pixels kept around each box, fewer at the frame's edge (the rest repeats the rim).
        width_px: width of the canvas, more where one crop needs it.
    """
    sizes = np.array([(i.bbox_xywh[3], i.bbox_xywh[2]) for i in nuclei], int).reshape(-1, 2) + 2 * margin_px
    width = max(width_px, int(sizes[:, 1].max(initial=1)))
    corners, top, left, shelf = np.zeros_like(sizes), 0, 0, 0
    for n in np.argsort(-sizes[:, 0], kind="stable"):
        if left + sizes[n, 1] > width:
            top, left, shelf = top + shelf, 0, 0
        corners[n] = top, left
        left, shelf = left + sizes[n, 1], max(shelf, sizes[n, 0])
    shape = (int(top + shelf), int(width))
    tops = np.unique(corners[:, 0]).tolist()
    shelves = tuple(slice(a, b) for a, b in pairwise([*tops, shape[0]]))
    on_shelf = tuple(np.flatnonzero(corners[:, 0] == t) for t in tops)
    owner, inside = np.zeros(shape, np.int32), np.zeros(shape, bool)
    shift, windows = np.zeros_like(sizes), []
    for n, instance in enumerate(nuclei):
        x, y, w, h = instance.bbox_xywh
        (cy, cx), (sh, sw) = corners[n], sizes[n]
        window = (slice(cy, cy + sh), slice(cx, cx + sw))
        owner[window] = n + 1
        inside[window][margin_px : margin_px + h, margin_px : margin_px + w] = instance.mask
        shift[n] = y - margin_px - cy, x - margin_px - cx
        windows.append(window)
    return Mosaic(np.zeros(shape, np.float32), owner, inside, shift, tuple(windows), shelves, on_shelf).of(plane)


def _crop(plane: Array, top: int, left: int, height: int, width: int) -> Array:
    """Cut a (height, width) crop at (top, left); beyond the plane its rim is repeated."""
    bottom, right = top + height, left + width
    if top >= 0 and left >= 0 and bottom <= plane.shape[0] and right <= plane.shape[1]:
        return plane[top:bottom, left:right]
    rows = np.clip(np.arange(top, bottom), 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, plane.shape[1] - 1)
    return plane[rows[:, None], columns]
