"""Necks of an outline: straight cuts from one inward bend to another, or on from a deep one, as where two nuclei were outlined as one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from cacapp.fish.doubt.intensity_seams import Seams
from cacapp.types import Array, Instance

SMOOTH_DIAMETERS = 0.03  # of the outline, before its bends are looked at
BEND = 0.05  # depth of a bend, in diameters of the nucleus; shallower ones are common in single nuclei
DEEP = 0.1  # from here on a bend is enough by itself
MAX_BENDS = 6
FAN = np.deg2rad([-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0])  # about the direction in which a deep bend points


@dataclass(frozen=True, slots=True)
class Necks:
    """Cuts through a nucleus; their strength is the depth of the (shallower) bend in diameters.

    Attributes:
        across: from bend to bend.
        onward: from a single deep bend, in a fan of directions.
    """

    across: Seams
    onward: Seams


def necks(nucleus: Instance) -> Necks:
    """The cuts of an outline; none of a convex one."""
    area = np.count_nonzero(nucleus.mask)
    diameter = float(np.sqrt(4 * area / np.pi))
    pad = max(2, round(SMOOTH_DIAMETERS * diameter))
    mask = cv2.copyMakeBorder(nucleus.mask.astype(np.float32), pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    smooth = (cv2.GaussianBlur(mask, (0, 0), pad / 2) > 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(smooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return Necks(_lines([]), _lines([]))
    contour = max(contours, key=len)
    hull = cv2.convexHull(contour, returnPoints=False)
    defects = cv2.convexityDefects(contour, np.sort(hull, axis=0)[::-1]) if len(hull) > 3 and len(contour) > 3 else None
    if defects is None:
        return Necks(_lines([]), _lines([]))
    origin = np.array(nucleus.bbox_xywh[:2], float) - pad
    outline, bends = contour.reshape(-1, 2), []
    for defect in defects.reshape(-1, 4):
        share = float(defect[3]) / 256 / diameter
        if share >= BEND:
            a, b, p = outline[defect[:3]].astype(float)
            inward = p - (a + b) / 2
            bends.append((share, p + origin, inward / max(float(np.hypot(*inward)), 1e-9)))
    bends = sorted(bends, key=lambda bend: -bend[0])[:MAX_BENDS]
    across = [(p, q - p, min(s, t)) for (s, p, _), (t, q, _) in combinations(bends, 2)]
    onward = []
    for share, p, inward in bends:
        if share >= DEEP:
            turned = np.arctan2(inward[1], inward[0]) + FAN
            onward += [(p, np.array([np.cos(angle), np.sin(angle)]), share) for angle in turned]
    return Necks(_lines(across), _lines(onward))


def _lines(cuts: list[tuple[Array, Array, float]]) -> Seams:
    """Lines through (x, y) points along (x, y) directions, each with its strength."""
    if not cuts:
        return Seams(np.zeros(0), np.zeros(0), np.zeros(0))
    point, along, strength = (np.array(v, float) for v in zip(*cuts, strict=True))
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return Seams(np.arctan2(normal[:, 1], normal[:, 0]), (point * normal).sum(axis=1), strength)
