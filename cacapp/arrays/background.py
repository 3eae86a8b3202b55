"""Background, noise and threshold of a DAPI plane."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.robust import robust_sd
from cacapp.types import Array

SAMPLE = 500_000
# threshold over background in standard deviations of the lower class: 1.1 for one Gaussian population, 1.4 for a ramp of light,
# 2.9 or more in each of 269 real frames with nuclei
SEPARATION = 2.0
OUTLIER = 6.0


@dataclass(frozen=True, slots=True)
class Levels:
    """Grey levels of a plane: background, its noise (standard deviation) and Otsu's threshold."""

    background: float
    noise: float
    threshold: float


def sample(plane: Array) -> Array:
    """Return at least ``SAMPLE`` of the plane's values at even distances, flat: enough for its levels in a fraction of the time."""
    flat = plane.ravel()
    return flat[:: max(1, flat.size // SAMPLE)]


def otsu(values: Array) -> float:
    """Return Otsu's threshold (Otsu 1979) of any finite numbers, over 256 bins up to the 99.9th percentile.

    A constant gives its value.
    """
    low, high = float(values.min()), float(np.percentile(values, 99.9))
    if high <= low:
        return low
    bins = np.clip((values.reshape(-1, 1) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    level, _ = cv2.threshold(bins, 0, 255, cv2.THRESH_OTSU)
    return low + (level + 0.5) * (high - low) / 255


def levels(smooth: Array) -> Levels:
    """Estimate background (median below Otsu's threshold), noise (1.4826 MAD) and threshold of a (Y, X) float32 plane.

    Otsu's method halves a plane that has only one population: an empty frame, or one whose few nuclei are too small a share to be a
    class of their own. There the threshold lies ``OUTLIER`` standard deviations above the median of all.
    """
    values = sample(smooth)
    threshold = otsu(values)
    background, noise = _middle(values[values <= threshold])
    if threshold - background < SEPARATION * noise:
        background, noise = _middle(values)
        threshold = background + OUTLIER * noise
    return Levels(background, noise, threshold)


def _middle(values: Array) -> tuple[float, float]:
    """Return median and robust standard deviation."""
    median = float(np.median(values))
    return median, robust_sd(values, median)


def neighbourhood_peak(smooth: Array, diameter_px: float) -> Array:
    """Return the brightness of the nuclei around each pixel, (Y, X) float32: a smoothed grey dilation over ``diameter_px``."""
    height, width = smooth.shape
    step = max(1, int(diameter_px / 9))
    small = cv2.resize(smooth, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_AREA)
    size = max(3, int(diameter_px / step) | 1)
    peak = cv2.dilate(small, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return cv2.resize(cv2.blur(peak, (size, size)), (width, height), interpolation=cv2.INTER_LINEAR)
