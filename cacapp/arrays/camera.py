"""Gain and noise of the camera, from one picture: how the grey values of neighbouring pixels differ where there is little or much light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacapp.arrays.noise import fit_photon_transfer
from cacapp.types import Array

BLOCK = 8  # pixels; the mean light of a block stands for that of its pixels
MAX_BLOCKS = 20_000
BINS = 24
MIN_BLOCKS = 30  # in a bin of light
QUARTILE = 0.806  # lower quartile of a block's mean squared difference for pure noise of variance 1 (simulated; a test repeats it)


@dataclass(frozen=True, slots=True)
class Camera:
    """What the picture says of its camera.

    Attributes:
        gain: grey values a photo-electron, variance gained with each grey value of light (photon transfer, Janesick 2007); a fifth too
            high at most in pictures full of structure.
        dark_noise: standard deviation, grey values, where the picture is darkest: read noise and the shot noise of what light is there.
            The read noise itself needs the camera's offset, which no picture tells; it is at most this.
    """

    gain: float
    dark_noise: float


def camera_of(plane: Array) -> Camera | None:
    """Gain and dark noise of a plane, None where it is too small or too even to tell.

    In blocks of ``BLOCK`` pixels the second differences along rows, (-1, 2, -1) / sqrt(6), are free of whatever is flat or sloping; their
    variance is the noise where a block has no structure. Blocks are binned by light, and of each bin the lower quartile is taken, over
    what pure noise of variance 1 would have there: structure only adds.

    Args:
        plane: (Y, X) uint8 or uint16.
    """
    height, width = plane.shape[0] // BLOCK * BLOCK, plane.shape[1] // BLOCK * BLOCK
    rows = max(1, int(np.ceil(height // BLOCK * (width // BLOCK) / MAX_BLOCKS)))
    blocks = plane[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)[::rows].astype(np.float32)
    if blocks.size == 0:
        return None
    blocks = blocks.transpose(0, 2, 1, 3).reshape(-1, BLOCK, BLOCK)
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
