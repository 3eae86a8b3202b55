"""Prompts for a second round of Segment Anything: uncovered regions, and masks that look like several nuclei."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

from cacapp.arrays.shapes import shapes_of
from cacapp.types import Array, Instance, Prompts

LEAST_DIAMETER = 0.4
"""Least inscribed diameter of an uncovered part for a second prompt, in nuclear diameters."""

SINGLE_SOLIDITY = 0.9
"""A region or mask with a lower solidity may be several nuclei."""

APART, LEAST_DEPTH, SMOOTHING = 0.25, 0.15, 0.04
"""Two nuclei in one mask, in nuclear diameters: least distance and least depth of their points; smoothing of the depths."""


def second_prompts(prompts: Prompts, masks: Sequence[Instance | None], diameter_px: float, shape_yx: tuple[int, int]) -> Prompts:
    """Return prompts for nuclei that the first round may have missed, with the negative points of the original prompts.

    Args:
        prompts: of the first round, with their coarse regions.
        masks: its masks, one per prompt, or None.
        diameter_px: of a typical nucleus.
        shape_yx: of the frame, px.
    """
    covered = np.zeros(shape_yx, bool)
    for mask in masks:
        if mask is not None:
            x, y, w, h = mask.bbox_xywh
            covered[y : y + h, x : x + w] |= mask.mask
    points, parents = [], []
    for i, region in enumerate(prompts.regions):
        x, y, w, h = region.bbox_xywh
        found = uncovered_points(region.mask & ~covered[y : y + h, x : x + w], LEAST_DIAMETER * diameter_px / 2)
        points += [(x + px, y + py) for px, py in found]
        parents += [i] * len(found)
    for several in (prompts.regions, masks):
        some = [(i, one) for i, one in enumerate(several) if one is not None]
        solidity = shapes_of([one for _, one in some], *shape_yx, None).solidity
        for (i, one), solid in zip(some, solidity.tolist(), strict=True):
            if solid < SINGLE_SOLIDITY:
                found = deep_points(one.mask, diameter_px)
                points += [(one.bbox_xywh[0] + px, one.bbox_xywh[1] + py) for px, py in found]
                parents += [i] * len(found)
    if not points:
        return Prompts.empty()
    asked = prompts.points_xy[parents].copy()
    asked[:, 0] = points
    labels = prompts.point_labels[parents].copy()
    labels[:, 1:][labels[:, 1:] == 1] = -1  # a further positive point belongs to the first prompt
    return Prompts(asked, labels)


def uncovered_points(left: Array, least_px: float) -> list[tuple[int, int]]:
    """Return (x, y) of the deepest pixel of each piece of a (h, w) bool mask that is at least ``least_px`` deep."""
    depth = _depth(left)
    pieces, _ = ndimage.label(left)
    result = []
    for value, box in enumerate(ndimage.find_objects(pieces), start=1):
        own = np.where(pieces[box] == value, depth[box], 0)
        if own.max() >= least_px:
            row, column = np.unravel_index(int(own.argmax()), own.shape)
            result.append((int(column + box[1].start), int(row + box[0].start)))
    return result


def deep_points(mask: Array, diameter_px: float) -> list[tuple[int, int]]:
    """Return (x, y) of the maxima of the depth inside a (h, w) bool mask; empty if there is only one."""
    depth = cv2.GaussianBlur(_depth(mask), (0, 0), max(0.6, SMOOTHING * diameter_px))
    reach = max(1, int(APART * diameter_px))
    around = cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    summit = (depth >= around) & (depth > LEAST_DEPTH * diameter_px)
    count, _, _, centres = cv2.connectedComponentsWithStats(summit.astype(np.uint8))
    return [(round(x), round(y)) for x, y in centres[1:].tolist()] if count > 2 else []


def _depth(mask: Array) -> Array:
    """Return the distance to the background, (h, w) float32 px; pixels beyond the crop are background."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])
