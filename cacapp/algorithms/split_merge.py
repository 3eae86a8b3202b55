"""Prompter ``split-merge``: region splitting and merging (Horowitz & Pavlidis, J. ACM 1976)."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from cacapp.algorithms.prompting import CoarsePrompter, working_plane
from cacapp.api import Field
from cacapp.arrays.background import levels
from cacapp.arrays.regions import basins, fill_holes, fuse, instances_of, landscape
from cacapp.types import Array, Instance


class SplitMerge(CoarsePrompter):
    """Split and merge: a quad-tree of homogeneous blocks, of which neighbours of similar brightness merge, most similar first.

    Merged regions brighter than the border level of a nucleus are filled and split at their necks.
    """

    name: ClassVar[str] = "split-merge"
    api_version: ClassVar[int] = 1

    working_diameter_px: float = Field(24.0, ge=8, le=100, description="diameter of a nucleus at the working scale, px")
    max_block_px: int = Field(64, ge=2, le=512, description="largest block of the quad-tree at working scale, px (a power of two)")
    split_range: float = Field(
        0.25, gt=0, le=2, description="a block is split where max - min exceeds this share of Otsu's threshold over background"
    )
    merge_difference: float = Field(
        0.35, gt=0, le=2, description="blocks merge if their means differ by less than this share of the brighter one"
    )
    local_share: float = Field(
        0.5, gt=0, le=1, description="a region belongs to a nucleus above this share of Otsu's threshold over background"
    )
    neck: float = Field(0.9, gt=0, le=1, description="least neck inside one nucleus, share of the narrower part's width")
    min_area: float = Field(0.08, ge=0, le=1, description="smallest region, share of the area of a typical nucleus")

    def regions(self, dapi: Array) -> list[Instance]:
        plane = working_plane(dapi, self.working_diameter_px)
        if not plane.diameter_px:
            return []
        smooth = cv2.GaussianBlur(plane.image, (0, 0), 1.0)
        grey = levels(smooth)
        rise = grey.threshold - grey.background
        if rise <= 0:
            return []
        lifted = (smooth - grey.background) / np.float32(rise)
        blocks = split(lifted, self.split_range, self.max_block_px)
        regions = merge(lifted, blocks, self.merge_difference)
        mean = np.bincount(regions.ravel(), weights=lifted.ravel()) / np.maximum(np.bincount(regions.ravel()), 1)
        mask = fill_holes(mean[regions] > self.local_share)
        height = landscape(smooth, mask, plane.diameter_px, 0.05, 0.0)
        parts, peaks = basins(height, mask)
        labels = fuse(parts, peaks, height, self.neck)
        smallest = max(12.0, self.min_area * np.pi / 4 * plane.diameter_px**2)
        return instances_of(labels, smallest, plane.zoom, (dapi.shape[0], dapi.shape[1]))


def split(image: Array, max_range: float, max_block_px: int) -> Array:
    """Split into quad-tree leaves: (Y, X) int32 labels 1..N of the largest blocks with max - min <= ``max_range``, or single pixels.

    Args:
        image: (Y, X) float32.
        max_range: largest range of grey values inside a block.
        max_block_px: side of the root blocks, a power of two.
    """
    root = 1 << (max(2, max_block_px).bit_length() - 1)
    height, width = (-(-n // root) * root for n in image.shape)
    low = high = cv2.copyMakeBorder(image, 0, height - image.shape[0], 0, width - image.shape[1], cv2.BORDER_REPLICATE)
    side, size = np.ones((height, width), np.int32), 1
    while size < root:
        low = low.reshape(low.shape[0] // 2, 2, -1, 2).min(axis=(1, 3))
        high = high.reshape(high.shape[0] // 2, 2, -1, 2).max(axis=(1, 3))
        size *= 2
        whole = np.repeat(np.repeat(high - low <= max_range, size, 0), size, 1)
        side[whole] = size
    rows, cols = np.ogrid[:height, :width]
    corner = (rows // side * side).astype(np.int64) * width + cols // side * side
    _, labels = np.unique(corner[: image.shape[0], : image.shape[1]], return_inverse=True)
    return labels.reshape(image.shape).astype(np.int32) + 1


def merge(image: Array, blocks: Array, max_difference: float) -> Array:
    """Merge touching regions if their means differ by at most ``max_difference`` times the brighter mean, the most similar pair first.

    Args:
        image: (Y, X) float32, background about 0.
        blocks: (Y, X) int32 labels 1..N.

    Returns: (Y, X) int32 labels, not consecutive.
    """
    count = np.bincount(blocks.ravel()).astype(float)
    total = np.bincount(blocks.ravel(), weights=image.ravel())
    touching = [np.stack([blocks[a].ravel(), blocks[b].ravel()]) for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]))]
    one, two = np.concatenate(touching, axis=1)
    apart = one != two
    key = np.unique(np.minimum(one, two)[apart].astype(np.int64) * len(count) + np.maximum(one, two)[apart])
    one, two = np.divmod(key, len(count))
    mean = total / np.maximum(count, 1)
    difference = np.abs(mean[one] - mean[two])
    near = difference <= max_difference * np.maximum(np.maximum(mean[one], mean[two]), 0.2)
    order = np.flatnonzero(near)[np.argsort(difference[near], kind="stable")]
    parent, sums, counts = list(range(len(count))), total.tolist(), count.tolist()

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for i in order.tolist():
        a, b = root(int(one[i])), root(int(two[i]))
        if a == b:
            continue
        mean_a, mean_b = sums[a] / counts[a], sums[b] / counts[b]
        if abs(mean_a - mean_b) <= max_difference * max(mean_a, mean_b, 0.2):
            parent[b] = a
            sums[a] += sums[b]
            counts[a] += counts[b]
    return np.array([root(x) for x in range(len(count))], np.int32)[blocks]
