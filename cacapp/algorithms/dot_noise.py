"""The noise of a filter's response in each nucleus, beside its dots."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cacapp.arrays.mosaic import Mosaic
from cacapp.arrays.noise import fit_photon_transfer
from cacapp.types import Array

SAMPLE_PIXELS = 1000
MIN_PIXELS_LEFT = 40
MIN_PIXELS = 100  # fewer beside the dots: the noise is that of the frame's other nuclei at this light
MASK_SNR = 5.0  # what stands out this much of a nucleus' texture is no part of its noise
MASK_SIGMAS = 4.0  # a dot and the dark ring that the filter draws around it
MASK_ROUNDS = 2  # strong dots hide weaker ones until they are left out
TEXTURE = 2.0  # a nucleus may be this much rougher than its light explains before a dot has to stand out of its texture


def nuclear_noise(mosaic: Mosaic, responses: Sequence[Array], sigmas: Array, rim_px: int) -> Array:
    """(N, S) float32, robust standard deviation of each response inside each nucleus, beside its dots.

    Pixels on and around dots are left out: a small nucleus with many bright ones would take them for noise. Where too little is left, the
    noise is that of other nuclei with as much light (photon transfer); in a frame with few nuclei, that of what there is.

    Args:
        responses: S canvases of the mosaic. sigmas: their scales, px.
        rim_px: pixels this near to the outline are left out.
    """
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim_px + 1, 2 * rim_px + 1))
    core = cv2.erode(mosaic.inside.astype(np.uint8), disk)
    samples = [_sample(mosaic, core, n) for n in range(len(mosaic.windows))]
    canvas = mosaic.canvas.ravel()
    light = np.array([np.median(canvas[pixels]) for pixels in samples])
    middle = len(sigmas) // 2
    beside = _beside_dots(samples, responses[middle], mosaic, sigmas[middle], light)
    enough = np.array([len(b) >= MIN_PIXELS for b in beside], bool)
    beside = [b if len(b) >= MIN_PIXELS_LEFT else a for a, b in zip(samples, beside, strict=True)]
    noise = np.empty((len(samples), len(sigmas)), np.float32)
    for s, response in enumerate(responses):
        flat = response.ravel()
        noise[:, s] = [_spread(flat[pixels]) for pixels in beside]
        others = fit_photon_transfer(light[enough], noise[enough, s] ** 2)
        if others is not None:
            noise[~enough, s] = np.minimum(noise[~enough, s], np.sqrt(others.variance(light[~enough])))
    floor = np.median(noise, axis=0) * 0.1
    result: Array = np.maximum(noise, np.maximum(floor, 1e-3))
    return result


def _sample(mosaic: Mosaic, core: Array, n: int) -> Array:
    """Flat canvas indices of about ``SAMPLE_PIXELS`` evenly taken pixels in the core of a nucleus, or in all of it where it has none."""
    rows, cols = mosaic.windows[n]
    inside = core[rows, cols]
    if np.count_nonzero(inside) < MIN_PIXELS:
        inside = mosaic.inside[rows, cols]
    step = max(1, int(np.sqrt(np.count_nonzero(inside) / SAMPLE_PIXELS)))
    y, x = np.nonzero(inside[::step, ::step])
    if not len(y):
        step, (y, x) = 1, np.nonzero(inside)
    pixels: Array = (y * step + rows.start) * mosaic.canvas.shape[1] + x * step + cols.start
    return pixels


def _beside_dots(samples: list[Array], response: Array, mosaic: Mosaic, sigma: float, light: Array) -> list[Array]:
    """The samples less the pixels on and around maxima that stand out of the nucleus, or far out of what its light explains."""
    peaks = (response == cv2.dilate(response, np.ones((3, 3), np.uint8))) & (mosaic.owner > 0)
    rows, cols = np.nonzero(peaks)
    owner, height = mosaic.owner[rows, cols] - 1, response[rows, cols]
    flat = response.ravel()
    side = 2 * int(np.ceil(MASK_SIGMAS * sigma)) + 1
    noise = np.array([_spread(flat[pixels]) for pixels in samples])
    expected = fit_photon_transfer(light, noise**2)
    if expected is not None:
        noise = np.minimum(noise, TEXTURE * np.sqrt(expected.variance(light)))
    beside = samples
    for _ in range(MASK_ROUNDS):
        dots = height > MASK_SNR * noise[owner]
        marked = np.zeros(response.shape, np.uint8)
        marked[rows[dots], cols[dots]] = 1
        free = ~cv2.dilate(marked, np.ones((side, side), np.uint8)).astype(bool).ravel()
        beside = [pixels[free[pixels]] for pixels in samples]
        noise = np.array([_spread(flat[b]) if len(b) >= MIN_PIXELS else old for b, old in zip(beside, noise, strict=True)])
    return beside


def _spread(values: Array) -> float:
    """Robust standard deviation: 1.4826 times the median absolute deviation from the median."""
    half = len(values) // 2
    return float(1.4826 * np.partition(np.abs(values - np.partition(values, half)[half]), half)[half])
