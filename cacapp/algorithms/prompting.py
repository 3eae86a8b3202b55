"""From coarse regions to prompts: what the classical prompt algorithms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.background import levels
from cacapp.arrays.regions import inscribed_diameter
from cacapp.arrays.shapes import deepest_point
from cacapp.types import Array, Instance, Prompts


@dataclass(frozen=True, slots=True)
class WorkingPlane:
    """A DAPI plane at the scale an algorithm works at.

    Attributes:
        image: (Y, X) float32, reduced by ``zoom``.
        zoom: the full frame is this many times larger.
        diameter_px: typical diameter of a nucleus at this scale; 0 where there is none.
    """

    image: Array
    zoom: int
    diameter_px: float


def working_plane(dapi: Array, diameter_px: float, look_px: int = 1200) -> WorkingPlane:
    """Reduces a frame so that its nuclei are about ``diameter_px`` across (never enlarges): cost and result do not depend on magnification.

    The nuclei's size is measured first, on the frame reduced to about ``look_px`` px.
    """
    glance = max(1, min(dapi.shape) // look_px)
    small = reduced(dapi, glance)
    nuclei = small > levels(small).threshold
    measured = inscribed_diameter(nuclei) * glance
    zoom = max(1, round(measured / diameter_px)) if measured else 1
    image = small if zoom == glance else reduced(dapi, zoom)
    return WorkingPlane(image, zoom, measured / zoom)


def reduced(dapi: Array, zoom: int) -> Array:
    """The (Y, X) plane averaged over zoom x zoom px, float32; a rim that does not fill a block is averaged over what there is."""
    if zoom == 1:
        return dapi.astype(np.float32)
    height, width = -(-dapi.shape[0] // zoom), -(-dapi.shape[1] // zoom)
    padded = cv2.copyMakeBorder(dapi, 0, height * zoom - dapi.shape[0], 0, width * zoom - dapi.shape[1], cv2.BORDER_REPLICATE)
    return cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def prompts_of(regions: Sequence[Instance], dapi: Array) -> Prompts:
    """One positive point a region (its centre, or its deepest point where that lies outside), the darkest pixel as the negative."""
    if not regions:
        return Prompts.empty()
    dark_y, dark_x = np.unravel_index(int(dapi.argmin()), dapi.shape)
    points = np.empty((len(regions), 2, 2), np.float32)
    for n, region in enumerate(regions):
        x, y = deepest_point(region.mask)
        points[n] = (region.bbox_xywh[0] + x, region.bbox_xywh[1] + y), (dark_x, dark_y)
    labels = np.tile(np.array([1, 0], np.int8), (len(regions), 1))
    return Prompts(points, labels, None, tuple(regions))
