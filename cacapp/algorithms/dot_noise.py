"""Noise of a filter's response in each nucleus, without its dots."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.mosaic import Mosaic
from cacapp.arrays.noise import fit_photon_transfer
from cacapp.arrays.robust import MAD_TO_SD
from cacapp.arrays.tied_noise import TIED_SHARE, tied, tied_sd
from cacapp.types import Array

SAMPLE_PIXELS = 640  # per nucleus; a response is smooth over two or three pixels, so more pixels add no information
MIN_PIXELS_LEFT = 40
MIN_PIXELS = 100  # with fewer pixels outside dots the noise is taken from other nuclei of the frame with the same brightness
MASK_SNR = 5.0  # a maximum this far above the texture of the nucleus is not noise
MASK_SIGMAS = 4.0  # a dot and the dark ring around it in the filter's response
SOLID_SIGMAS = 2.0  # around blocks of pixels above the common value: the faint outskirts of their dot
MASK_ROUNDS = 2  # strong dots hide weaker ones until they are excluded
TEXTURE = 2.0  # a nucleus may be this much rougher than its brightness explains before a dot is compared with its texture


@dataclass(frozen=True, slots=True)
class Sample:
    """Evenly spaced pixels of the nuclei, away from their outlines.

    Attributes:
        pixels: (N, ``SAMPLE_PIXELS``) flat indices of a mosaic's canvas; in nuclei with fewer pixels each index is repeated.
        size: (N,) number of pixels that they represent.
    """

    pixels: Array
    size: Array


@dataclass(frozen=True, slots=True)
class Peaks:
    """Maxima of one response: (n,) rows and columns of the canvas, and heights."""

    rows: Array
    cols: Array
    height: Array


def sample_cores(mosaic: Mosaic, rim_px: int) -> Sample:
    """Sample pixels at least ``rim_px`` off the outline, or any of the nucleus if too few are."""
    side = 2 * rim_px + 1
    core = cv2.erode(mosaic.inside.view(np.uint8), np.ones((side, side), np.uint8)).view(bool)
    width, evenly = mosaic.canvas.shape[1], np.arange(SAMPLE_PIXELS)
    pixels, size = np.zeros((len(mosaic.windows), SAMPLE_PIXELS), np.int64), np.zeros(len(mosaic.windows), np.int64)
    for n, (rows, cols) in enumerate(mosaic.windows):
        found = np.flatnonzero(core[rows, cols])
        if len(found) < MIN_PIXELS:
            found = np.flatnonzero(mosaic.inside[rows, cols])
        y, x = np.divmod(found[(evenly * len(found)) // SAMPLE_PIXELS], cols.stop - cols.start)
        pixels[n], size[n] = (y + rows.start) * width + x + cols.start, len(found)
    return Sample(pixels, size)


def nuclear_noise(mosaic: Mosaic, sample: Sample, responses: Array, sigmas: Array, gains: Array, peaks: Peaks) -> Array:
    """Return (N, S) float32, the robust standard deviation of each response inside each nucleus, without its dots.

    Pixels on and around dots are excluded, since many bright dots in a small nucleus would raise its noise. If too few pixels remain, the
    noise is that of other nuclei of the same brightness (photon transfer); in a frame with few nuclei, that of the remaining pixels.
    Where many pixels of a nucleus have one value (clipped at zero, coarse steps), it is at least that of the pixels, see ``tied_sd``.

    Args:
        responses: (S, N, K) at the sample's pixels. sigmas: their scales, px.
        gains: (S,) response of each scale to white noise of standard deviation 1.
        peaks: maxima of the response at the middle scale.
    """
    values = mosaic.canvas.take(sample.pixels)
    light = np.median(values, axis=1)
    middle = len(sigmas) // 2
    under_ties = _sd_under_ties(mosaic, sample, values, sigmas[middle])
    free = _beside_dots(mosaic, sample, responses[middle], sigmas[middle], light, peaks, under_ties * gains[middle])
    left = free.mean(axis=1) * sample.size
    enough = left >= MIN_PIXELS
    free |= (left < MIN_PIXELS_LEFT)[:, None]
    noise = np.empty((len(light), len(sigmas)), np.float32)
    for s, response in enumerate(responses):
        noise[:, s] = _spreads(response, free)
        others = fit_photon_transfer(light[enough], noise[enough, s] ** 2)
        if others is not None:
            noise[~enough, s] = np.minimum(noise[~enough, s], np.sqrt(others.variance(light[~enough])))
    floor = np.median(noise, axis=0) * 0.1
    result: Array = np.maximum(np.maximum(noise, under_ties[:, None] * gains), np.maximum(floor, 1e-3)).astype(np.float32)
    return result


def _sd_under_ties(mosaic: Mosaic, sample: Sample, values: Array, sigma: float) -> Array:
    """Return (N,) the standard deviation of pixels many of which have one value, 0 for nuclei without ties.

    Dots are left out by their shape, as their height says nothing before the noise is known: their light covers whole blocks of 3 x 3
    pixels, noise above the common value does so in one of 500.
    """
    mode, share = tied(values)
    if (share < TIED_SHARE).all():
        return np.zeros(len(values))
    common = np.append(mode, np.inf)[mosaic.owner - 1]  # -1, between crops, is the last one
    solid = cv2.erode((mosaic.canvas > common).view(np.uint8), np.ones((3, 3), np.uint8))
    side = 2 * (1 + int(np.ceil(SOLID_SIGMAS * sigma))) + 1
    free = cv2.dilate(solid, np.ones((side, side), np.uint8)).take(sample.pixels) == 0
    free |= (free.mean(axis=1) * sample.size < MIN_PIXELS)[:, None]
    return tied_sd(values, free)


def _beside_dots(mosaic: Mosaic, sample: Sample, response: Array, sigma: float, light: Array, peaks: Peaks, least: Array) -> Array:
    """Return (N, K) bool: the sample without pixels around maxima far above the nucleus, or far above the noise its brightness explains.

    ``least``: (N,) smallest noise of the response that is believed.
    """
    owner = mosaic.owner[peaks.rows, peaks.cols] - 1
    side = 2 * int(np.ceil(MASK_SIGMAS * sigma)) + 1
    everything = np.ones(response.shape, bool)
    free, noise = everything, _spreads(response, everything)
    expected = fit_photon_transfer(light, noise**2)
    if expected is not None:
        noise = np.minimum(noise, TEXTURE * np.sqrt(expected.variance(light)))
    for _ in range(MASK_ROUNDS):
        noise = np.maximum(noise, least)
        dots = peaks.height > MASK_SNR * noise[owner]
        marked = np.zeros(mosaic.canvas.shape, np.uint8)
        marked[peaks.rows[dots], peaks.cols[dots]] = 1
        free = cv2.dilate(marked, np.ones((side, side), np.uint8)).take(sample.pixels) == 0
        enough = free.mean(axis=1) * sample.size >= MIN_PIXELS
        noise[enough] = _spreads(response[enough], free[enough])
    return free


def _spreads(values: Array, free: Array) -> Array:
    """Return (N,) robust standard deviations (1.4826 times the median absolute deviation) of (N, K) values over the free ones."""
    rows, half = np.arange(len(values)), np.count_nonzero(free, axis=1) // 2
    kept = np.where(free, values, np.inf)
    kept.sort(axis=1)
    off = np.where(free, np.abs(values - kept[rows, half, None]), np.inf)
    off.sort(axis=1)
    return np.asarray(MAD_TO_SD * off[rows, half])
