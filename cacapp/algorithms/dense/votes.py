"""Grouping of per-pixel votes into instances: pixels that point to the same place are one nucleus."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from cacapp.types import Array

CELL_MIN_PX = 6
"""Least number of map pixels of an object."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Parameters of the grouping; lengths in pixels of the map.

    Attributes:
        foreground: least probability of a pixel of a nucleus.
        vote_sigma_px: standard deviation of the Gaussian that smooths the votes.
        peak_radius_px: least distance between two centres.
    """

    foreground: float = 0.5
    vote_sigma_px: float = 2.0
    peak_radius_px: int = 5


def objects_of(foreground: Array, offsets_px: Array, rules: Rules) -> Array:
    """Group votes into instance labels (as Panoptic-DeepLab, Cheng et al. 2020, but with centres from the votes).

    Each foreground pixel votes, with its probability, for the place to which it points; peaks of the votes are centres, and a pixel
    belongs to the centre nearest to that place. The largest piece of an object is used, with holes filled.

    Args:
        foreground: (Y, X) float32, probability of nucleus.
        offsets_px: (2, Y, X) float32, (y, x) from each pixel to the centre of its nucleus, px of the map.

    Returns:
        (Y, X) int32, 0 background, 1..N.
    """
    height, width = foreground.shape
    rows, columns = np.nonzero(foreground > rules.foreground)
    labels = np.zeros((height, width), np.int32)
    if not len(rows):
        return labels
    aim_y = np.clip(rows + offsets_px[0][rows, columns], 0, height - 1)
    aim_x = np.clip(columns + offsets_px[1][rows, columns], 0, width - 1)
    place = np.rint(aim_y).astype(int) * width + np.rint(aim_x).astype(int)
    votes = np.bincount(place, foreground[rows, columns], height * width).reshape(height, width).astype(np.float32)
    centres = _peaks(cv2.GaussianBlur(votes, (0, 0), rules.vote_sigma_px), rules)
    if not len(centres):
        return labels
    _, owner = cKDTree(centres).query(np.stack([aim_y, aim_x], axis=1))
    labels[rows, columns] = owner + 1
    return _whole(labels)


def _peaks(heat: Array, rules: Rules) -> Array:
    """Return (N, 2) float (y, x): maxima of the votes within the radius with at least CELL_MIN_PX votes."""
    side = 2 * rules.peak_radius_px + 1
    around = cv2.dilate(heat, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    least = 0.1 * CELL_MIN_PX / (2 * np.pi * rules.vote_sigma_px**2)
    peak = (heat >= around) & (heat > least)
    count, _, _, centres = cv2.connectedComponentsWithStats(peak.astype(np.uint8))
    return np.asarray(centres[1:count, ::-1], float)


def _whole(labels: Array) -> Array:
    """Reduce each object to its largest piece, fill holes, drop pieces below CELL_MIN_PX and number consecutively."""
    result = np.zeros_like(labels)
    number = 0
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        mask = (labels[box] == value).astype(np.uint8)
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        if count > 2:
            mask = (pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
        if np.count_nonzero(mask) < CELL_MIN_PX:
            continue
        outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(mask, outline, -1, 1, cv2.FILLED)
        number += 1
        free = (mask > 0) & ((labels[box] == value) | (labels[box] == 0))  # pixels of another object inside a hole keep their label
        result[box][free] = number
    return result
