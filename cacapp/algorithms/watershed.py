"""Prompter ``watershed``: nuclei as basins of the distance to the background, weighted with brightness."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from cacapp.algorithms.prompting import CoarsePrompter, working_plane
from cacapp.api import Field
from cacapp.arrays.background import levels, neighbourhood_peak
from cacapp.arrays.regions import basins, fill_holes, fuse, inscribed_diameter, instances_of, landscape
from cacapp.types import Array, Instance

LARGEST_HOLE = 0.1
"""Largest dark hole in a nucleus that is filled, share of the nuclear area."""


class Watershed(CoarsePrompter):
    """Watershed: local threshold, distance transform, basins by steepest ascent, merging of basins with a shallow border.

    Scale-free: the plane is reduced until a nucleus has ``working_diameter_px``, and two basins are compared by the ratio of their border
    to their maximum (Beucher & Lantuéjoul 1979 for the watershed, Meyer 1994 for its geodesic form).
    """

    name: ClassVar[str] = "watershed"
    api_version: ClassVar[int] = 1

    working_diameter_px: float = Field(36.0, ge=8, le=200, description="diameter of a nucleus at the working scale, px")
    smoothing_px: float = Field(0.7, ge=0.3, le=10, description="standard deviation of the Gaussian before thresholds, px at working scale")
    noise_factor: float = Field(4.0, ge=0, le=50, description="threshold of a nucleus, noise standard deviations above the background")
    floor: float = Field(0.25, ge=0, le=1, description="lowest level of a nucleus, share of the way from background to Otsu's threshold")
    local_share: float = Field(0.25, ge=0.05, le=0.95, description="border of a nucleus, share of the brightness around it")
    own_share: float = Field(0.4, ge=0, lt=1, description="border of a nucleus, share of its own median brightness")
    neighbourhood: float = Field(1.2, ge=0.5, le=5, description="size of the surroundings for local_share, nuclear diameters")
    distance_smoothing: float = Field(
        0.05, ge=0, le=0.5, description="standard deviation of the Gaussian on the distances, nuclear diameters"
    )
    brightness_weight: float = Field(0.2, ge=0, le=1, description="weight of the brightness in the distance map")
    fuse_ratio: float = Field(0.94, gt=0, le=1, description="two basins are one nucleus if border over maximum is at least this")
    min_area: float = Field(0.1, ge=0, le=1, description="smallest region, share of the area of a typical nucleus")

    def regions(self, dapi: Array) -> list[Instance]:
        plane = working_plane(dapi, self.working_diameter_px)
        if not plane.diameter_px:
            return []
        smooth = cv2.GaussianBlur(plane.image, (0, 0), self.smoothing_px)
        mask = self._nuclei(smooth, plane.diameter_px)
        diameter = inscribed_diameter(mask)
        if not diameter:
            return []
        height = landscape(smooth, mask, diameter, self.distance_smoothing, self.brightness_weight)
        labels, peaks = basins(height, mask)
        labels = self._trimmed(fuse(labels, peaks, height, self.fuse_ratio), smooth - levels(smooth).background)
        smallest = max(12.0, self.min_area * np.pi / 4 * diameter**2)
        return instances_of(labels, smallest, plane.zoom, (dapi.shape[0], dapi.shape[1]))

    def _nuclei(self, smooth: Array, diameter_px: float) -> Array:
        grey = levels(smooth)
        if grey.threshold <= grey.background:
            return np.zeros(smooth.shape, bool)
        rise = max(self.noise_factor * grey.noise, self.floor * (grey.threshold - grey.background))
        around = neighbourhood_peak(smooth, self.neighbourhood * diameter_px)
        lifted = smooth - grey.background
        mask = (lifted > rise) & (lifted > self.local_share * (around - grey.background))
        # a larger hole lies between nuclei; if it were filled, a confluent sheet would be one nucleus
        solid = fill_holes(mask, LARGEST_HOLE * np.pi / 4 * diameter_px**2)
        opened = cv2.morphologyEx(solid.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
        return opened.astype(bool)

    def _trimmed(self, labels: Array, lifted: Array) -> Array:
        """Trim each nucleus to pixels above ``own_share`` of its median brightness; labels are unchanged."""
        rows, cols = np.nonzero(labels)
        owner, value = labels[rows, cols], lifted[rows, cols]
        order = np.lexsort((value, owner))
        size = np.bincount(owner)
        first = np.concatenate([[0], np.cumsum(size)[:-1]])
        middle = value[order][np.minimum(first + size // 2, len(order) - 1)]
        cut = value < self.own_share * middle[owner]
        result = labels.copy()
        result[rows[cut], cols[cut]] = 0
        return result
