"""Shape of a plane's dots, from the brightest clear one of each nucleus: width, flatness of the top, dark spots in place of bright ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.robust import robust_sd
from cacapp.types import Array, Instance

MAX_NUCLEI = 48  # in a median over nuclei
CLEAR = 10.0  # smallest height of a dot, standard deviations of the smoothed nucleus
MIN_DOTS = 8
SMOOTH_DIAMETERS = 1 / 6  # standard deviation of the smoothing: single pixels do not pass for dots
WINDOW_DIAMETERS = 1.5
HIGH, LOW = 0.85, 0.5  # shares of a dot's height


@dataclass(frozen=True, slots=True)
class DotShape:
    """Medians over nuclei, NaN with fewer than ``MIN_DOTS``.

    Attributes:
        sigma_px: standard deviation of a dot, px.
        flatness: area above ``HIGH`` of a dot's height over that above ``LOW``: 0.23 for any Gaussian, more where its top is cut off.
        darkness: depth of the darkest spot of a nucleus over the height of its brightest one; above 1 in an inverted picture.
    """

    sigma_px: float
    flatness: float
    darkness: float


def dot_shape(plane: Array, nuclei: Sequence[Instance], diameter_px: float) -> DotShape:
    """Measure a plane's dots.

    Of a Gaussian smoothed by s, the light at the distance r is exp(-r² / 2(σ² + s²)) of that at its top.

    Args:
        plane: (Y, X) of any numeric dtype.
        diameter_px: of a signal.
    """
    widths, flats, darks = [], [], []
    for nucleus in nuclei[:: max(1, -(-len(nuclei) // MAX_NUCLEI))]:
        x, y, w, h = nucleus.bbox_xywh
        crop = cv2.GaussianBlur(plane[y : y + h, x : x + w].astype(np.float32), (0, 0), SMOOTH_DIAMETERS * diameter_px)
        inside = crop[nucleus.mask]
        middle = float(np.median(inside))
        row, col = (int(v) for v in np.unravel_index(int(np.argmax(np.where(nucleus.mask, crop, -np.inf))), crop.shape))
        top, depth = float(crop[row, col]) - middle, middle - float(inside.min())
        clear = CLEAR * max(robust_sd(inside, middle), 1e-6)
        if max(top, depth) > clear:
            darks.append(depth / max(top, 1e-6))
        if top > clear:
            widths.append(_sigma_px(crop - middle, nucleus.mask, (row, col), diameter_px))
            flats.append(_flatness(crop - middle, (row, col), diameter_px))
    return DotShape(*(float(np.median(v)) if len(v) >= MIN_DOTS else float("nan") for v in (widths, flats, darks)))


def _sigma_px(crop: Array, mask: Array, at: tuple[int, int], diameter_px: float) -> float:
    """Return the standard deviation from the light on a ring half a diameter off the top; 0 where there is none."""
    radius = max(1.5, diameter_px / 2)
    rows, cols = np.ogrid[: crop.shape[0], : crop.shape[1]]
    ring = crop[(np.abs(np.hypot(rows - at[0], cols - at[1]) - radius) <= 0.75) & mask]
    left = float(np.median(ring) / crop[at]) if len(ring) else 0.0
    if not 0 < left < 1:
        return 0.0
    return float(np.sqrt(max(radius**2 / (-2 * np.log(left)) - (SMOOTH_DIAMETERS * diameter_px) ** 2, 0.0)))


def _flatness(crop: Array, at: tuple[int, int], diameter_px: float) -> float:
    reach = int(np.ceil(WINDOW_DIAMETERS * diameter_px))
    top, left = max(0, at[0] - reach), max(0, at[1] - reach)
    window = crop[top : at[0] + reach + 1, left : at[1] + reach + 1]
    areas = []
    for share in (HIGH, LOW):
        pieces = cv2.connectedComponents((window >= share * crop[at]).astype(np.uint8), connectivity=4)[1]
        areas.append(np.count_nonzero(pieces == pieces[at[0] - top, at[1] - left]))
    return areas[0] / areas[1]
