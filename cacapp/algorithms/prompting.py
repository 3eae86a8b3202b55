"""Prompts from coarse regions, common to the classical prompt algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from scipy.spatial import cKDTree

from cacapp.api import Field, Prompter
from cacapp.arrays.nuclear_size import nuclear_diameter
from cacapp.arrays.shapes import deepest_point
from cacapp.types import Array, Instance, Prompts


@dataclass(frozen=True, slots=True)
class WorkingPlane:
    """DAPI plane at the working scale of an algorithm.

    Attributes:
        image: (Y, X) float32, reduced by ``zoom``.
        zoom: size of the full frame over that of the image.
        diameter_px: typical diameter of a nucleus at this scale; 0 if there are no nuclei.
    """

    image: Array
    zoom: int
    diameter_px: float


def working_plane(dapi: Array, diameter_px: float, look_px: int = 1200) -> WorkingPlane:
    """Reduce a frame (never enlarge it) to nuclei of about ``diameter_px``, so that cost and result do not depend on magnification.

    The nuclear size is measured first, on the frame reduced to about ``look_px`` px.
    """
    glance = max(1, min(dapi.shape) // look_px)
    small = reduced(dapi, glance)
    measured = nuclear_diameter(small) * glance
    zoom = max(1, round(measured / diameter_px)) if measured else 1
    image = small if zoom == glance else reduced(dapi, zoom)
    return WorkingPlane(image, zoom, measured / zoom)


def reduced(dapi: Array, zoom: int) -> Array:
    """Return the (Y, X) plane averaged over zoom x zoom px, float32; blocks cut by the border are averaged over their pixels."""
    if zoom == 1:
        return dapi.astype(np.float32)
    height, width = -(-dapi.shape[0] // zoom), -(-dapi.shape[1] // zoom)
    padded = cv2.copyMakeBorder(dapi, 0, height * zoom - dapi.shape[0], 0, width * zoom - dapi.shape[1], cv2.BORDER_REPLICATE)
    return cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


class CoarsePrompter(Prompter):
    """Classical algorithm that proposes coarse regions, with one prompt per region: a positive and a negative point."""

    negative: Literal["darkest", "neighbour", "local", "none"] = Field(
        "darkest",
        description="negative point: darkest pixel of the image, nearest other region, darkest pixel around the region, or none",
    )

    def regions(self, dapi: Array) -> list[Instance]:
        """Return the coarse regions of a (Y, X) uint8 or uint16 plane."""
        raise NotImplementedError

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        return prompts_of(self.regions(dapi), dapi, self.negative)


def prompts_of(regions: Sequence[Instance], dapi: Array, negative: str = "darkest") -> Prompts:
    """Return a prompt per region: its centre (or its deepest point if the centre lies outside) as positive point, and a negative point.

    Args:
        negative: "darkest" (the paper: the darkest pixel of the image), "neighbour" (the nearest other region's point), "local" (the
            darkest pixel within half a region's size around it) or "none" (padding).
    """
    if not regions:
        return Prompts.empty()
    centres = np.array([np.add(r.bbox_xywh[:2], deepest_point(r.mask)) for r in regions], np.float32)
    points = np.stack([centres, centres], axis=1)
    labels = np.tile(np.array([1, -1 if negative == "none" else 0], np.int8), (len(regions), 1))
    if negative == "darkest":
        points[:, 1] = np.unravel_index(int(dapi.argmin()), dapi.shape)[::-1]
    elif negative == "local":
        points[:, 1] = [_darkest_around(dapi, region) for region in regions]
    elif negative == "neighbour" and len(regions) > 1:
        points[:, 1] = centres[cKDTree(centres).query(centres, k=2)[1][:, 1]]
    elif negative == "neighbour":
        labels[:, 1] = -1
    return Prompts(points, labels, None, tuple(regions))


def _darkest_around(dapi: Array, region: Instance) -> tuple[int, int]:
    """Return (x, y) of the darkest pixel in the region's box widened by half its size."""
    x, y, w, h = region.bbox_xywh
    left, top = max(0, x - w // 2), max(0, y - h // 2)
    crop = dapi[top : y + h + h // 2, left : x + w + w // 2]
    row, column = np.unravel_index(int(crop.argmin()), crop.shape)
    return int(left + column), int(top + row)
