"""Stained objects outside all outlines: nuclei that segmentation left out, debris, the rest of a nucleus cut wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cacapp.arrays.background import Levels
from cacapp.arrays.regions import median_light
from cacapp.types import Array, Instance

MIN_LIGHT = 0.15  # of the light of the frame's typical nucleus
MIN_AREA = 0.08  # of its area
HALO_RADII = 0.25  # of its radius: a thinner rim around a nucleus is its halo, or an outline drawn too tight
STEP_DIAMETERS = 18  # a typical nucleus is about this many pixels wide in the reduced picture


def find_unsegmented(dapi: Array, nuclei: Sequence[Instance], grey: Levels) -> list[Instance]:
    """Return the stained objects beside the nuclei that are as thick as nuclei; none without nuclei to compare with.

    Args:
        dapi: (Y, X) of any numeric dtype.
        grey: the levels of ``dapi``.
    """
    if not nuclei:
        return []
    areas = [np.count_nonzero(n.mask) for n in nuclei]
    radius = float(np.sqrt(np.median(areas) / np.pi))
    light = np.median([median_light(dapi, n) for n in nuclei]) - grey.background
    step = max(1, round(2 * radius / STEP_DIAMETERS))
    height, width = dapi.shape
    small = (-(-width // step), -(-height // step))
    stained = cv2.resize(dapi, small, interpolation=cv2.INTER_AREA)
    segmented = cv2.resize(_painted(dapi.shape, nuclei), small, interpolation=cv2.INTER_AREA)
    free = ((stained > grey.background + max(6 * grey.noise, MIN_LIGHT * light)) & (segmented == 0)).astype(np.uint8)
    r = max(1, round(HALO_RADII * radius / step))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
    thick = cv2.morphologyEx(free, cv2.MORPH_OPEN, disk)
    whole = cv2.dilate(thick, disk) & free  # opening removes the corners where the object touches a nucleus
    n, labels, stats, _ = cv2.connectedComponentsWithStats(whole, connectivity=4)
    found = []
    for i in range(1, n):
        left, top, w, h, area = (int(v) for v in stats[i])
        if area * step * step >= MIN_AREA * np.pi * radius**2:
            mask = (labels[top : top + h, left : left + w] == i).repeat(step, axis=0).repeat(step, axis=1)
            mask = mask[: height - top * step, : width - left * step]
            found.append(Instance((left * step, top * step, mask.shape[1], mask.shape[0]), mask))
    return found


def _painted(shape: tuple[int, ...], nuclei: Sequence[Instance]) -> Array:
    """Return (Y, X) uint8, 255 on the nuclei."""
    picture = np.zeros(shape, np.uint8)
    for nucleus in nuclei:
        x, y, w, h = nucleus.bbox_xywh
        picture[y : y + h, x : x + w][nucleus.mask] = 255
    return picture
