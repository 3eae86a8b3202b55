"""Camera noise as a function of the light: variance = gain x level + floor (photon transfer, Janesick 2007)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacapp.arrays.robust import robust_sd
from cacapp.types import Array

ROUNDS = 3
OUTLIER = 3.0
MIN_POINTS = 10


@dataclass(frozen=True, slots=True)
class PhotonTransfer:
    """Variance of a grey value (or of a filter's response, in its units) at a level of light.

    Attributes:
        gain: variance gained with each grey value of light, >= 0.
        floor: variance without light, as the line meets it (read noise, less what the camera's offset adds); may be negative.
        lowest: least variance that is believed.
    """

    gain: float
    floor: float
    lowest: float

    def variance(self, level: Array) -> Array:
        """Return the variance at each level, of the same shape."""
        return np.asarray(np.maximum(self.gain * np.asarray(level) + self.floor, self.lowest))


def fit_photon_transfer(level: Array, variance: Array) -> PhotonTransfer | None:
    """Fit a line through (level, variance) of many places, without those with texture; None for fewer than ``MIN_POINTS``.

    Least squares on what lies within three robust standard deviations of the line, three rounds. Where the levels hardly differ, or the
    line would fall, the variance is taken for constant.

    Args:
        level, variance: (N,), of places with a light of their own.
    """
    level, variance = np.asarray(level, float), np.asarray(variance, float)
    if len(level) < MIN_POINTS:
        return None
    middle = float(np.median(variance))
    used = variance <= 4 * middle
    gain, floor = 0.0, middle
    for _ in range(ROUNDS):
        x, y = level[used], variance[used]
        spread = float(x.std())
        gain = max(0.0, float(np.mean((x - x.mean()) * (y - y.mean()))) / spread**2) if spread > 1e-6 * max(1.0, abs(x.mean())) else 0.0
        floor = float(np.median(y - gain * x))
        off = variance - gain * level - floor
        width = robust_sd(off[used], 0.0)
        used = np.abs(off) <= max(OUTLIER * width, 1e-12)
        if np.count_nonzero(used) < MIN_POINTS:
            break
    return PhotonTransfer(gain, floor, 0.25 * middle)
