"""Prompter ``region-growing``: seeded region growing (Adams & Bischof, IEEE TPAMI 1994)."""

from __future__ import annotations

import heapq
from typing import ClassVar

import cv2
import numpy as np

from cacapp.algorithms.prompting import CoarsePrompter, working_plane
from cacapp.api import Field
from cacapp.arrays.background import levels
from cacapp.arrays.regions import basins, fill_holes, fuse, instances_of, landscape
from cacapp.types import Array, Instance


class RegionGrowing(CoarsePrompter):
    """Seeded region growing from the bright centres of nuclei and the background, one pixel at a time, the most similar pixel first.

    Seeds are maxima of the distance to the background (above Otsu's threshold, weighted with brightness), merged if the valley between
    them is shallow. A pixel is compared with the mean of the region at the time it is queued, as in the paper. Holes are filled and
    small regions dropped.
    """

    name: ClassVar[str] = "region-growing"
    api_version: ClassVar[int] = 1

    working_diameter_px: float = Field(20.0, ge=8, le=100, description="diameter of a nucleus at the working scale, px")
    seed_smoothing: float = Field(
        0.1, ge=0.02, le=0.5, description="standard deviation of the Gaussian before seeds are found, nuclear diameters"
    )
    seed_ratio: float = Field(0.85, gt=0, le=1, description="two seeds are merged if valley over lower maximum is at least this")
    seed_share: float = Field(0.8, gt=0, lt=1, description="a seed reaches down to this share of its maximum")
    background_factor: float = Field(
        3.0, ge=0, le=50, description="background seeds are below the background plus this many noise standard deviations"
    )
    min_area: float = Field(0.08, ge=0, le=1, description="smallest region, share of the area of a typical nucleus")

    def regions(self, dapi: Array) -> list[Instance]:
        plane = working_plane(dapi, self.working_diameter_px)
        if not plane.diameter_px:
            return []
        smooth = cv2.GaussianBlur(plane.image, (0, 0), 0.7)
        grey = levels(smooth)
        lifted = smooth - grey.background
        seeds = self._seeds(lifted, grey.threshold - grey.background, plane.diameter_px)
        ground = lifted <= min(self.background_factor * grey.noise, 0.3 * (grey.threshold - grey.background))
        labels = grow(lifted, np.where(ground & (seeds == 0), seeds.max() + 1, seeds))
        labels[labels == seeds.max() + 1] = 0
        labels = _filled(labels)
        smallest = max(12.0, self.min_area * np.pi / 4 * plane.diameter_px**2)
        return instances_of(labels, smallest, plane.zoom, (dapi.shape[0], dapi.shape[1]))

    def _seeds(self, lifted: Array, threshold: float, diameter_px: float) -> Array:
        """Return (Y, X) int32 seed regions, 1..N, around the maxima of the plane."""
        mask = lifted > threshold
        hills = landscape(lifted, mask, diameter_px, self.seed_smoothing, 0.5)
        labels, peaks = basins(hills, mask)
        labels = fuse(labels, peaks, hills, self.seed_ratio)
        tops = np.zeros(int(labels.max()) + 1, np.float32)
        np.maximum.at(tops, labels.ravel(), hills.ravel())
        labels = np.where(hills >= self.seed_share * tops[labels], labels, 0)
        return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def grow(image: Array, seeds: Array) -> Array:
    """Grow seeds: every pixel joins the 4-connected neighbouring region with the most similar mean.

    Args:
        image: (Y, X) float32.
        seeds: (Y, X) int32, 0 unlabelled, 1..N.

    Returns: (Y, X) int32 labels of all pixels that a seed can reach.
    """
    wide = image.shape[1] + 2
    labels = cv2.copyMakeBorder(seeds.astype(np.int32), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=-1).ravel()
    values = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0).ravel()
    count = np.maximum(np.bincount(labels[labels > 0], minlength=int(seeds.max()) + 1), 1)
    total = np.bincount(labels[labels > 0], weights=values[labels > 0], minlength=int(seeds.max()) + 1)
    steps = (-wide, -1, 1, wide)
    front = _front(labels, steps)
    sums, counts, label, value = total.tolist(), count.tolist(), labels.tolist(), values.tolist()
    queue = [(abs(value[p] - sums[r] / counts[r]), n, p, r) for n, (p, r) in enumerate(front)]
    heapq.heapify(queue)
    order = len(queue)
    while queue:
        _, _, pixel, region = heapq.heappop(queue)
        if label[pixel]:
            continue
        label[pixel] = region
        sums[region] += value[pixel]
        counts[region] += 1
        mean = sums[region] / counts[region]
        for step in steps:
            near = pixel + step
            if label[near] == 0:
                heapq.heappush(queue, (abs(value[near] - mean), order, near, region))
                order += 1
    grown = np.array(label, np.int32).reshape(image.shape[0] + 2, wide)[1:-1, 1:-1]
    return np.maximum(grown, 0)


def _front(labels: Array, steps: tuple[int, ...]) -> list[tuple[int, int]]:
    """Yield (pixel, region) for every unlabelled pixel beside a region, in reading order."""
    free = np.flatnonzero(labels == 0)
    pairs = [np.stack([free, labels[free + step]], 1) for step in steps]
    touching = np.concatenate(pairs)
    touching = np.unique(touching[touching[:, 1] > 0], axis=0)
    return [(int(p), int(r)) for p, r in touching]


def _filled(labels: Array) -> Array:
    """Fill holes of labels with the region around them."""
    holes = fill_holes(labels > 0) & (labels == 0)
    if not holes.any():
        return labels
    count, parts = cv2.connectedComponents(holes.astype(np.uint8), connectivity=4)
    near = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
    owner = np.zeros(count, np.int32)
    np.maximum.at(owner, parts[holes], near[holes])
    result = labels.copy()
    result[holes] = owner[parts[holes]]
    return result
