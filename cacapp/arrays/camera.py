"""Gain and noise of the camera from one image: differences of neighbouring pixels as a function of the light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacapp.arrays.noise import fit_photon_transfer
from cacapp.types import Array

BLOCK_PX = 8  # pixels; the mean light of a block is used for all its pixels
MAX_BLOCKS = 20_000
BINS = 24
MIN_BLOCKS = 30  # in a bin of light
QUARTILE = 0.806  # lower quartile of a block's mean squared difference for pure noise of variance 1 (simulated; a test repeats it)


@dataclass(frozen=True, slots=True)
class Camera:
    """Gain and noise of a camera, as estimated from one image.

    Attributes:
        gain: grey values per photo-electron: increase of the variance per grey value of light (photon transfer, Janesick 2007); at most
            a fifth too high in images full of structure.
        dark_noise: standard deviation, grey values, where the image is darkest: read noise and the shot noise of the light there. The
            read noise alone is at most this; it needs the camera's offset, which an image does not show.
    """

    gain: float
    dark_noise: float


def camera_of(plane: Array) -> Camera | None:
    """Estimate gain and dark noise of a plane; None where it is too small or too even.

    In blocks of ``BLOCK_PX`` pixels the second differences along rows, (-1, 2, -1) / sqrt(6), cancel constants and slopes; their
    variance is the noise where a block has no structure. Blocks are binned by light; the lower quartile of each bin over
    that of pure noise of variance 1 is the noise, since structure only adds.

    Args:
        plane: (Y, X) uint8 or uint16.
    """
    height, width = plane.shape[0] // BLOCK_PX * BLOCK_PX, plane.shape[1] // BLOCK_PX * BLOCK_PX
    rows = max(1, int(np.ceil(height // BLOCK_PX * (width // BLOCK_PX) / MAX_BLOCKS)))
    blocks = plane[:height, :width].reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX)[::rows].astype(np.float32)
    if blocks.size == 0:
        return None
    blocks = blocks.transpose(0, 2, 1, 3).reshape(-1, BLOCK_PX, BLOCK_PX)
    light = blocks.mean(axis=(1, 2))
    change = (2 * blocks[:, :, 1:-1] - blocks[:, :, :-2] - blocks[:, :, 2:]) / np.sqrt(6)
    variance = (change**2).mean(axis=(1, 2))
    edges = np.unique(np.quantile(light, np.linspace(0, 1, BINS + 1)))
    which = np.searchsorted(edges[1:-1], light, side="right")
    levels, noises = [], []
    for k in range(len(edges) - 1):
        here = variance[which == k]
        if len(here) >= MIN_BLOCKS:
            levels.append(float(np.median(light[which == k])))
            noises.append(float(np.percentile(here, 25)) / QUARTILE)
    fit = fit_photon_transfer(np.array(levels), np.array(noises))
    if fit is None or fit.gain <= 0:
        return None
    return Camera(fit.gain, float(np.sqrt(max(fit.floor + fit.gain * min(levels), 0.0))))
