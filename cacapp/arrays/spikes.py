"""Spikes: pixels brighter than the optics can draw (hot pixels, cosmic rays), found by their neighbours and filled from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.types import Array, Instance

REACH_PX = 5  # the window of the background around a pixel
DARK_PERCENTILE = 25  # of the window: a dot covers less than three quarters of it
SAMPLE_STEP = 7  # of the nuclei's pixels, in an estimate of the noise
ROUNDS = 3  # of larger groups of pixels: their border first
CHUNK = 20_000  # pixels that are tested at a time


@dataclass(frozen=True, slots=True)
class Despiked:
    """A plane without spikes: (Y, X) of the same dtype, and the number of pixels that were filled."""

    plane: Array
    n_pixels: int


def steepest(sigma_px: float) -> float:
    """Return the largest ratio of a pixel's height to that of the pixels on both sides of it, in light of at least the width ``sigma_px``.

    Of a Gaussian it is exp(1 / 2σ²), with the point under the pixel's centre; a sum of Gaussians on a constant never exceeds it.
    """
    return float(np.exp(1 / (2 * sigma_px**2)))


def without_spikes(plane: Array, nuclei: Sequence[Instance], sigma_px: float, sds: float, gain: float = 0.0) -> Despiked:
    """Fill the pixels that no light through the optics can give, from those around them.

    A pixel is a spike where its height above the background around it exceeds ``steepest(sigma_px)`` times the mean height of its two
    neighbours, in a row or in a column, by more than ``sds`` standard deviations of the noise of that difference; or the fourth power of
    that times the mean height of the four pixels at two pixels' distance. So pairs, lines and small blocks of pixels are found as well.

    Args:
        plane: (Y, X) uint8 or uint16.
        nuclei: whose pixels tell the noise; without any, nothing is changed.
        sigma_px: standard deviation of the narrowest dot that is believed, px.
        gain: variance that a grey value of light adds (``cacapp.arrays.camera``).
    """
    if not nuclei:
        return Despiked(plane, 0)
    over = cv2.subtract(plane, cv2.medianBlur(plane, 3))
    noise, limit = _noise(over, nuclei), steepest(sigma_px)
    at, n_pixels = np.flatnonzero(over.ravel() > sds * noise), 0
    for _ in range(ROUNDS):
        chunks = [np.divmod(at[k : k + CHUNK], plane.shape[1]) for k in range(0, len(at), CHUNK)]
        spike = [_is_spike(plane, *chunk, limit, sds, noise, gain) for chunk in chunks]
        at = at[np.concatenate(spike)] if spike else at
        if not len(at):
            break
        plane, n_pixels = _filled(plane, *np.divmod(at, plane.shape[1])), n_pixels + len(at)
        at = _around(at, plane.shape)  # the middle of a block shows when its border is gone
    return Despiked(plane, n_pixels)


def _around(at: Array, shape: tuple[int, ...]) -> Array:
    """Return the flat indices of the pixels at ``at`` and of their eight neighbours, inside the plane."""
    rows, cols = (v[:, None] + d for v, d in zip(np.divmod(at, shape[1]), np.mgrid[-1:2, -1:2].reshape(2, 1, 9), strict=True))
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    return np.unique((rows * shape[1] + cols)[inside])


def _noise(over: Array, nuclei: Sequence[Instance]) -> float:
    """Return the standard deviation of a pixel above the median of its neighbourhood, in the nuclei; half a step of grey at least.

    The 95th percentile tells it: dots cover less than a twentieth.
    """
    values = [over[y : y + h, x : x + w][n.mask][::SAMPLE_STEP] for n in nuclei for x, y, w, h in [n.bbox_xywh]]
    heights = np.concatenate(values)
    step = float(heights[heights > 0].min()) if heights.any() else 1.0
    return max(float(np.percentile(heights, 95)) / 1.645, step / 2)


def _windows(plane: Array, rows: Array, cols: Array, reach: int) -> Array:
    """Return (n, 2 reach + 1, 2 reach + 1) float32, the pixels around each; beyond the plane its rim is repeated."""
    around = np.arange(-reach, reach + 1)
    y = np.clip(rows[:, None] + around, 0, plane.shape[0] - 1)
    x = np.clip(cols[:, None] + around, 0, plane.shape[1] - 1)
    return np.asarray(plane[y[:, :, None], x[:, None, :]], np.float32)


def _is_spike(plane: Array, rows: Array, cols: Array, limit: float, sds: float, noise: float, gain: float) -> Array:
    window = _windows(plane, rows, cols, REACH_PX)
    dark = np.percentile(window.reshape(len(window), -1), DARK_PERCENTILE, axis=1)
    here = window[:, REACH_PX, REACH_PX] - dark
    across, down = (_beside(window, dy, dx) - dark for dy, dx in ((0, 1), (1, 0)))
    further = (_beside(window, 0, 2) + _beside(window, 2, 0)) / 2 - dark
    # a Gaussian falls to 1 / limit at one pixel and to 1 / limit⁴ at two
    beyond = [
        here - factor * lower - sds * np.sqrt((noise**2 + gain * lower) * (1 + factor**2 / n))
        for lower, factor, n in ((np.maximum(np.minimum(across, down), 0), limit, 2), (np.maximum(further, 0), limit**4, 4))
    ]
    return np.asarray(np.maximum(*beyond) > 0)


def _beside(window: Array, dy: int, dx: int) -> Array:
    """Return (n,) the mean of the two pixels at (dy, dx) and opposite of it, seen from the middle."""
    return np.asarray((window[:, REACH_PX + dy, REACH_PX + dx] + window[:, REACH_PX - dy, REACH_PX - dx]) / 2)


def _filled(plane: Array, rows: Array, cols: Array) -> Array:
    """Return the plane with the given pixels replaced by the median of the others within two pixels."""
    bad = np.zeros(plane.shape, np.uint8)
    bad[rows, cols] = 1
    values = _windows(plane, rows, cols, 2).reshape(len(rows), -1)
    values[_windows(bad, rows, cols, 2).reshape(len(rows), -1) > 0] = np.nan
    values[np.isnan(values).all(axis=1)] = 0
    result = plane.copy()
    result[rows, cols] = np.rint(np.nanmedian(values, axis=1)).astype(plane.dtype)
    return result
