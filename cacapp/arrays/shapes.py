"""Shape features of instances."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cacapp.types import Array, Instance, Shapes

# Crofton's formula with four directions (Lehmann & Legland, Insight J. 2012): perimeter = weights · histogram of the 16 codes of
# 2 x 2 neighbourhoods. A step along an axis weighs π/4, one along a diagonal π/(4√2).
_AXIS, _DIAGONAL = np.pi / 4, np.pi / (4 * np.sqrt(2))
_BOTH = _AXIS + _DIAGONAL
_CROFTON = np.array(
    [0, _BOTH, _DIAGONAL, 2 * _DIAGONAL, 0, _BOTH, 0, _DIAGONAL, _AXIS, 2 * _AXIS, _DIAGONAL, _DIAGONAL, _AXIS, 2 * _AXIS, 0, 0]
)
_CODE = np.array([[0, 0, 0], [0, 1, 4], [0, 2, 8]], np.float32)


def perimeter(mask: Array) -> float:
    """Return the perimeter in px of a (h, w) bool mask by Crofton's formula with four directions."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    codes = cv2.filter2D(padded, cv2.CV_8U, _CODE, borderType=cv2.BORDER_CONSTANT)
    return float(np.bincount(codes.ravel(), minlength=16)[:16] @ _CROFTON)


def shapes_of(instances: Sequence[Instance], height_px: int, width_px: int, pixel_size_um: float | None) -> Shapes:
    """Measure shape features of N instances of a frame of (height_px, width_px)."""
    rows = np.array([_features(i.mask) for i in instances], float).reshape(-1, 5)
    boxes = np.array([i.bbox_xywh for i in instances], int).reshape(-1, 4)
    x, y, w, h = boxes.T
    edge = (x <= 0) | (y <= 0) | (x + w >= width_px) | (y + h >= height_px)
    return Shapes(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4], edge, pixel_size_um)


def typical_diameter(areas: Array) -> float:
    """Return the diameter of the circle with the typical area: the area-weighted median, on which specks have little influence.

    Args:
        areas: (N,) of the nuclei; the result is in the unit of their root. 0 where there are none.
    """
    if not len(areas):
        return 0.0
    order = np.sort(np.asarray(areas, float))
    share = np.cumsum(order)
    return float(np.sqrt(order[np.searchsorted(share, share[-1] / 2)] * 4 / np.pi))


def centroids(instances: Sequence[Instance]) -> Array:
    """Return the centres of mass, (N, 2) float64, (y, x) px in the frame."""
    result = np.zeros((len(instances), 2))
    for n, instance in enumerate(instances):
        x, y, _, _ = instance.bbox_xywh
        m = cv2.moments(instance.mask.astype(np.uint8), binaryImage=True)
        result[n] = y + m["m01"] / m["m00"], x + m["m10"] / m["m00"]
    return result


def deepest_point(mask: Array) -> tuple[float, float]:
    """Return (x, y) px in the crop: the centroid where it lies inside the (h, w) mask, else the point furthest from its outline."""
    m = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    x, y = m["m10"] / m["m00"], m["m01"] / m["m00"]
    if mask[round(y), round(x)]:
        return x, y
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    row, col = np.unravel_index(int(cv2.distanceTransform(padded, cv2.DIST_L2, 5).argmax()), padded.shape)
    return float(col - 1), float(row - 1)


def _features(mask: Array) -> tuple[float, float, float, float, float]:
    area = float(np.count_nonzero(mask))
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(outlines)
    hull = cv2.convexHull(points)
    sides = cv2.minAreaRect(hull)[1]
    # outlines run through pixel centres: half a pixel is missing on each side (Pick's theorem gives the hull's pixels)
    hull_area = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    round_ = 4 * np.pi * area / max(perimeter(mask), 1e-6) ** 2
    return area, max(sides) + 1, min(sides) + 1, min(round_, 1.0), min(area / hull_area, 1.0)
