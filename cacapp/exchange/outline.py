"""Masks to polygons and back. Coordinates in px from the corner of the frame: pixel i covers i to i + 1, as in QuPath, ImageJ and COCO."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cacapp.exceptions import CacappError
from cacapp.types import Array, Instance

if TYPE_CHECKING:
    from shapely import Geometry


def polygon(instance: Instance) -> list[list[int]]:
    """Return the outline of an instance's largest part, holes filled, as a closed ring of (x, y) corners.

    The ring runs along the edges of the pixels and never touches itself, however thin the mask: ``rasterize`` gives back exactly the mask,
    but for holes and parts that stand apart.
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats(instance.mask.astype(np.uint8), connectivity=4)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    # Three samples a pixel: the contour runs through the outer ones, which tell on which side of the pixel it passes.
    samples = np.kron((parts == largest).astype(np.uint8), np.ones((3, 3), np.uint8))
    (outline, *_), _ = cv2.findContours(samples, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    pixel, side = np.divmod(outline.reshape(-1, 2), 3)
    corners = pixel + (side == 2) + np.array(instance.bbox_xywh[:2])
    ring = [point for point, before in zip(corners.tolist(), np.roll(corners, 1, axis=0).tolist(), strict=True) if point != before]
    return [*ring, ring[0]]


def ring_area(ring: Array) -> Geometry:
    """The area in a closed outline.

    Args:
        ring: (N, 2) x, y px; the first point may come again as the last.

    Raises:
        CacappError: fewer than three points, or coordinates that are no numbers.
    """
    from shapely import Polygon

    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3:
        raise CacappError("an outline needs three points or more")
    if not np.isfinite(ring).all():
        raise CacappError("an outline's coordinates are no finite numbers")
    return make_valid(Polygon(ring))


def make_valid(area: Geometry) -> Geometry:
    """Return one or several polygons; a hand-drawn outline that crosses itself is repaired."""
    from shapely import make_valid

    return area if area.is_valid else make_valid(area)


def rasterize(area: Geometry, height_px: int, width_px: int) -> Instance:
    """Return the pixels of a frame with their centres in an area or on its outline; parts outside the frame are cut off.

    Raises:
        CacappError: it covers no pixel of the frame.
    """
    from shapely import intersects_xy, prepare

    left, top, right, bottom = area.bounds
    if math.isfinite(left + top + right + bottom):
        x, y = max(0, math.floor(left)), max(0, math.floor(top))
        right, bottom = min(width_px, math.ceil(right)), min(height_px, math.ceil(bottom))
        if right > x and bottom > y:
            prepare(area)
            columns, rows = np.meshgrid(np.arange(x, right) + 0.5, np.arange(y, bottom) + 0.5)
            mask = intersects_xy(area, columns, rows)
            if mask.any():
                ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                crop = np.ascontiguousarray(mask[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1])
                return Instance((x + int(xs[0]), y + int(ys[0]), crop.shape[1], crop.shape[0]), crop)
    raise CacappError(f"covers no pixel of the frame of {width_px} x {height_px} px; coordinates are px from its upper left corner")
