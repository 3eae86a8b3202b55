"""Contrast limits of a channel, the same for all its pictures: two percentiles of a whole slide or frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.exceptions import CacappError
from cacapp.types import DAPI, Array

BACKGROUND_PERCENTILE = 50.0
"""Percentile shown black: more than half of a frame of blood cells is background."""

DAPI_HIGH_PERCENTILE = 99.5
"""Percentile of DAPI shown at full brightness: nuclei cover far more pixels than lie above it."""

PROBE_HIGH_PERCENTILE = 99.9
"""Percentile of a probe channel shown at full brightness: dots cover about a thousandth of a frame."""


@dataclass(frozen=True, slots=True)
class ContrastLimits:
    """Grey values shown black and shown at full brightness, linear between them.

    Attributes:
        scope: what they were taken from, e.g. "slide S-0001".
        limits: channel -> (low, high) in grey values, low < high.
        rule: how they were found, in words.
    """

    scope: str
    limits: Mapping[str, tuple[float, float]]
    rule: str

    def stretch(self, plane: Array, channel: str) -> Array:
        """Scale a plane of any shape and number type to float32 in [0, 1], same shape."""
        if channel not in self.limits:
            raise CacappError(f"no contrast limits for channel {channel!r} of {self.scope}; there are limits for {', '.join(self.limits)}")
        low, high = self.limits[channel]
        stretched = (plane.astype(np.float32) - np.float32(low)) * np.float32(1.0 / (high - low))
        return np.clip(stretched, 0.0, 1.0, out=stretched)


def contrast_limits(
    frames: Iterable[Mapping[str, Array]],
    scope: str,
    *,
    background_percentile: float = BACKGROUND_PERCENTILE,
    dapi_high_percentile: float = DAPI_HIGH_PERCENTILE,
    probe_high_percentile: float = PROBE_HIGH_PERCENTILE,
) -> ContrastLimits:
    """Return the limits of each channel, exact percentiles of the pixels of all ``frames`` together.

    Args:
        frames: channel -> (Y, X) uint8 or uint16 plane, one mapping per frame; only one is in memory at a time.
        scope: what the frames are, e.g. "slide S-0001".
        background_percentile, dapi_high_percentile, probe_high_percentile: in [0, 100].
    """
    histograms: dict[str, Array] = {}
    for planes in frames:
        for channel, plane in planes.items():
            if plane.dtype not in (np.uint8, np.uint16):
                raise CacappError(f"contrast of channel {channel!r} of {scope}: pixels are {plane.dtype}, expected uint8 or uint16")
            counts = cv2.calcHist([np.ascontiguousarray(plane)], [0], None, [65536], [0, 65536]).ravel().astype(np.float64)
            histograms[channel] = histograms[channel] + counts if channel in histograms else counts
    if not histograms:
        raise CacappError(f"no frame to take the contrast of {scope} from")
    limits = {}
    for channel, histogram in histograms.items():
        low = _percentile(histogram, background_percentile)
        high = _percentile(histogram, dapi_high_percentile if channel == DAPI else probe_high_percentile)
        limits[channel] = (low, max(high, low + 1.0))
    rule = (
        f"black at percentile {background_percentile:g}, full brightness at percentile {dapi_high_percentile:g} (DAPI) "
        f"or {probe_high_percentile:g} (probes) of all pixels, linear between"
    )
    return ContrastLimits(scope, limits, rule)


def _percentile(histogram: Array, percentile: float) -> float:
    """Return the smallest grey value that at least ``percentile`` per cent of the pixels do not exceed."""
    cumulative = np.cumsum(histogram)
    rank = np.ceil(np.round(percentile * cumulative[-1] / 100.0, 6))  # rounded: 99.9 % of 10,000 is exactly 9,990
    return float(np.searchsorted(cumulative, rank))
