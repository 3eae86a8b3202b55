"""Concavities of an outline: straight cuts from one to another, or on from a deep one, where two nuclei may be outlined as one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from cacapp.fish.doubt.intensity_seams import Seams
from cacapp.types import Array, Instance

SMOOTH_DIAMETERS = 0.03  # of the outline, before its concavities are measured
MIN_DEPTH = 0.05  # of a concavity, in diameters of the nucleus; shallower ones are common in single nuclei
DEEP = 0.1  # diameters: a concavity this deep is enough by itself
MAX_CONCAVITIES = 6
FAN = np.deg2rad([-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0])  # about the direction in which a deep concavity points


@dataclass(frozen=True, slots=True)
class ConcaveCuts:
    """Cuts through a nucleus; their strength is the depth of the (shallower) concavity in diameters.

    Attributes:
        across: from one concavity to another.
        onward: from a single deep concavity, in a fan of directions.
    """

    across: Seams
    onward: Seams


def concave_cuts(nucleus: Instance) -> ConcaveCuts:
    """Return the cuts of an outline; none for a convex one."""
    area = np.count_nonzero(nucleus.mask)
    diameter = float(np.sqrt(4 * area / np.pi))
    pad = max(2, round(SMOOTH_DIAMETERS * diameter))
    mask = cv2.copyMakeBorder(nucleus.mask.astype(np.float32), pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    smooth = (cv2.GaussianBlur(mask, (0, 0), pad / 2) > 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(smooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return ConcaveCuts(_lines([]), _lines([]))
    contour = max(contours, key=len)
    hull = cv2.convexHull(contour, returnPoints=False)
    defects = cv2.convexityDefects(contour, np.sort(hull, axis=0)[::-1]) if len(hull) > 3 and len(contour) > 3 else None
    if defects is None:
        return ConcaveCuts(_lines([]), _lines([]))
    origin = np.array(nucleus.bbox_xywh[:2], float) - pad
    outline, concavities = contour.reshape(-1, 2), []
    for defect in defects.reshape(-1, 4):
        depth = float(defect[3]) / 256 / diameter
        if depth >= MIN_DEPTH:
            a, b, p = outline[defect[:3]].astype(float)
            inward = p - (a + b) / 2
            concavities.append((depth, p + origin, inward / max(float(np.hypot(*inward)), 1e-9)))
    concavities = sorted(concavities, key=lambda one: -one[0])[:MAX_CONCAVITIES]
    across = [(p, q - p, min(s, t)) for (s, p, _), (t, q, _) in combinations(concavities, 2)]
    onward = []
    for depth, p, inward in concavities:
        if depth >= DEEP:
            turned = np.arctan2(inward[1], inward[0]) + FAN
            onward += [(p, np.array([np.cos(angle), np.sin(angle)]), depth) for angle in turned]
    return ConcaveCuts(_lines(across), _lines(onward))


def _lines(cuts: list[tuple[Array, Array, float]]) -> Seams:
    """Return the lines through (x, y) points along (x, y) directions, each with its strength."""
    if not cuts:
        return Seams(np.zeros(0), np.zeros(0), np.zeros(0))
    point, along, strength = (np.array(v, float) for v in zip(*cuts, strict=True))
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return Seams(np.arctan2(normal[:, 1], normal[:, 0]), (point * normal).sum(axis=1), strength)
