"""Signal detector ``log``: dots as maxima of the scale-normalised Laplacian of Gaussian, per nucleus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import cv2
import numpy as np

from cacapp.algorithms.dot_noise import Peaks, Sample, nuclear_noise, sample_cores
from cacapp.api import Field, SignalDetector
from cacapp.arrays.mosaic import Mosaic, pack
from cacapp.types import Array, Instance, Signals

RING_POINTS = 16
RING_SIGMAS = 3.0
RING_RANK = 12  # a neighbouring dot may cover a quarter of the ring; at a straight edge half the ring is as bright as the maximum


class LogDetector(SignalDetector):
    """Maxima over place and scale of -σ² ∇²G_σ * image (Lindeberg 1998), found inside nuclei only.

    The response to a Gaussian dot of amplitude A is A/2 at its own σ, which gives the amplitude above a flat or sloping background. Noise
    is 1.4826 MAD of the same response inside the same nucleus outside its dots, so texture and autofluorescence of a nucleus count as its
    noise; SNR is response over noise. Positions are refined with a parabola through the maximum and its neighbours.
    """

    name: ClassVar[str] = "log"
    api_version: ClassVar[int] = 1

    min_sigma_um: float = Field(0.16, gt=0, le=5, description="standard deviation of the smallest dot, µm")
    max_sigma_um: float = Field(0.42, gt=0, le=5, description="standard deviation of the largest dot, µm")
    scales: int = Field(4, ge=1, le=12, description="number of scales from the smallest to the largest dot")
    min_snr: float = Field(6.0, gt=0, description="least response of a candidate over the noise of the nucleus")
    min_roundness: float = Field(0.3, ge=0, le=1, description="least ratio of the two curvatures at a maximum; 0 for edges and ridges")
    min_prominence: float = Field(
        0.2,
        ge=0,
        le=1,
        description="least height above the surrounding ring, share of that of a Gaussian dot; 0 for the rim of a bright nucleus",
    )
    noise_rim_um: float = Field(0.5, ge=0, le=5, description="pixels nearer to the outline than this are excluded from the noise, µm")
    rim_um: float = Field(0.6, ge=0, le=5, description="dots up to this far outside the mask are reported, µm")
    nucleus_diameter_um: float = Field(8.5, gt=0, description="if the pixel size is unknown: assumed diameter of the median nucleus, µm")

    def detect(self, plane: Array, nuclei: Sequence[Instance], pixel_size_um: float | None) -> Signals:
        if not nuclei:
            return Signals.empty()
        pixel = pixel_size_um or self._pixel_size_um(nuclei)
        sigmas = np.geomspace(max(0.8, self.min_sigma_um / pixel), max(0.8, self.max_sigma_um / pixel), self.scales)
        rim = max(1, round(self.rim_um / pixel))
        mosaic = pack(plane, nuclei, margin_px=int(np.ceil(3 * sigmas[-1])) + rim)
        dots, noise = self._filter(mosaic, sigmas, sample_cores(mosaic, round(self.noise_rim_um / pixel)), rim)
        rows, cols = dots.rows, dots.cols
        snr = dots.response / noise[mosaic.owner[rows, cols] - 1, dots.scale]
        keep = snr >= self.min_snr
        keep[keep] = _near_mask(mosaic, rows[keep], cols[keep], rim)
        dots, rows, cols, snr = dots.take(keep), rows[keep], cols[keep], snr[keep]
        yx = dots.yx + mosaic.shift_yx[mosaic.owner[rows, cols] - 1]
        yx = np.clip(yx, 0, np.array(plane.shape) - 1).astype(np.float32)
        found = Signals(yx, snr.astype(np.float32), (2 * dots.response).astype(np.float32), sigmas[dots.scale].astype(np.float32))
        return found.take(_once(found))

    def _pixel_size_um(self, nuclei: Sequence[Instance]) -> float:
        areas = [np.count_nonzero(i.mask) for i in nuclei]
        return self.nucleus_diameter_um / float(np.sqrt(np.median(areas) * 4 / np.pi))

    def _filter(self, mosaic: Mosaic, sigmas: Array, sample: Sample, rim_px: int) -> tuple[_Dots, Array]:
        """Return the dot-shaped maxima of the mosaic's responses in and near the masks, and the noise (N, S) of each nucleus."""
        sampled = np.empty((len(sigmas), *sample.pixels.shape), np.float32)
        near = cv2.dilate(mosaic.inside.view(np.uint8), np.ones((2 * rim_px + 1, 2 * rim_px + 1), np.uint8)).view(bool)
        dots, middle = [], []
        for shelf, here in zip(mosaic.shelves, mosaic.on_shelf, strict=True):
            smoothed, responses, best = _respond(mosaic.canvas[shelf], sigmas)
            pixels = sample.pixels[here] - shelf.start * mosaic.canvas.shape[1]
            for s, response in enumerate(responses):
                sampled[s, here] = response.take(pixels)
            dots.append(self._dots(smoothed, responses, best, sigmas, near[shelf]).down(shelf.start))
            response = responses[len(sigmas) // 2]
            rows, cols = _maxima(response, mosaic.owner[shelf] > 0)
            middle.append((rows + shelf.start, cols, response[rows, cols]))
        peaks = Peaks(*(np.concatenate(v) for v in zip(*middle, strict=True)))
        return _Dots.concatenate(dots), nuclear_noise(mosaic, sample, sampled, sigmas, _noise_gains(sigmas), peaks)

    def _dots(self, smoothed: list[Array], responses: list[Array], best: Array, sigmas: Array, near: Array) -> _Dots:
        rows, cols = _maxima(best, near)
        response, scale = best[rows, cols], np.argmax([r[rows, cols] for r in responses], axis=0)
        keep = response > 0
        keep[keep] = _roundness(smoothed, scale[keep], rows[keep], cols[keep]) >= self.min_roundness
        keep[keep] = _prominence(smoothed, sigmas, scale[keep], rows[keep], cols[keep], response[keep]) >= self.min_prominence
        rows, cols, response, scale = (v[keep] for v in (rows, cols, response, scale))
        return _Dots(rows, cols, np.stack(_refine(best, rows, cols), axis=1), response, scale)


@dataclass(frozen=True, slots=True)
class _Dots:
    """Maxima of a mosaic: (n,) rows and columns of the canvas, (n, 2) their places between the pixels, (n,) responses and scales."""

    rows: Array
    cols: Array
    yx: Array
    response: Array
    scale: Array

    def take(self, which: Array) -> _Dots:
        return _Dots(self.rows[which], self.cols[which], self.yx[which], self.response[which], self.scale[which])

    def down(self, rows: int) -> _Dots:
        return replace(self, rows=self.rows + rows, yx=self.yx + np.array([rows, 0]))

    @staticmethod
    def concatenate(parts: Sequence[_Dots]) -> _Dots:
        return _Dots(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(_Dots)))


def _respond(canvas: Array, sigmas: Array) -> tuple[list[Array], list[Array], Array]:
    """Return the (Y, X) float32 canvas smoothed at each scale, its response at each, and the largest response."""
    smoothed: list[Array] = []
    responses: list[Array] = []
    before, image = 0.0, canvas
    for sigma in sigmas.tolist():
        # a Gaussian of a Gaussian is a Gaussian: each scale is smoothed from the one before
        step = float(np.sqrt(max(sigma**2 - before**2, 0.0)))
        if step > 0:
            size = 2 * int(np.ceil(4 * step)) + 1
            image = cv2.GaussianBlur(image, (size, size), step)
        smoothed.append(image)
        responses.append(cv2.Laplacian(image, cv2.CV_32F, ksize=1, scale=-(sigma**2)))
        before = sigma
    best = responses[0].copy()
    for response in responses[1:]:
        np.maximum(best, response, out=best)
    return smoothed, responses, best


def _noise_gains(sigmas: Array) -> Array:
    """Return (S,) the standard deviation of each scale's response to white noise of standard deviation 1."""
    reach = int(np.ceil(6 * sigmas[-1])) + 2
    point = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    point[reach, reach] = 1
    return np.array([float(np.sqrt((response**2).sum())) for response in _respond(point, sigmas)[1]])


def _maxima(image: Array, where: Array) -> tuple[Array, Array]:
    """Return rows and columns of the pixels that none of their eight neighbours exceeds."""
    top = (image == cv2.dilate(image, np.ones((3, 3), np.uint8))) & where
    rows, cols = np.divmod(np.flatnonzero(top), image.shape[1])
    return rows, cols


def _near_mask(mosaic: Mosaic, rows: Array, cols: Array, rim_px: int) -> Array:
    """Return (n,) bool: on a mask, or at most ``rim_px`` off it."""
    y, x = np.nonzero(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim_px + 1, 2 * rim_px + 1)))
    y = np.clip(rows[:, None] + y - rim_px, 0, mosaic.inside.shape[0] - 1)
    x = np.clip(cols[:, None] + x - rim_px, 0, mosaic.inside.shape[1] - 1)
    return np.asarray(mosaic.inside[y, x].any(axis=1))


def _roundness(smoothed: Sequence[Array], scale: Array, rows: Array, cols: Array) -> Array:
    """Return the ratio of the smaller to the larger principal curvature at each maximum: 1 for a round dot, 0 for an edge or a ridge."""
    result = np.zeros(len(rows))
    for s, image in enumerate(smoothed):
        at = np.flatnonzero(scale == s)
        y, x = np.clip(rows[at], 1, image.shape[0] - 2), np.clip(cols[at], 1, image.shape[1] - 2)
        dyy = image[y - 1, x] - 2 * image[y, x] + image[y + 1, x]
        dxx = image[y, x - 1] - 2 * image[y, x] + image[y, x + 1]
        dxy = (image[y + 1, x + 1] - image[y + 1, x - 1] - image[y - 1, x + 1] + image[y - 1, x - 1]) / 4
        middle, half = (dxx + dyy) / 2, np.hypot((dxx - dyy) / 2, dxy)
        result[at] = np.where(middle + half < 0, (middle + half) / np.minimum(middle - half, -1e-9), 0)
    return result


def _prominence(smoothed: Sequence[Array], sigmas: Array, scale: Array, rows: Array, cols: Array, response: Array) -> Array:
    """Return the height of each maximum above the ring around it, relative to a Gaussian dot: 1 for a dot, 0 on an edge.

    A dot of amplitude A smoothed at its own σ has the height A/2, and A/2 exp(-9/4) at 3 σ; its response is A/2.
    """
    result = np.zeros(len(rows))
    angle = np.arange(RING_POINTS) * (2 * np.pi / RING_POINTS)
    expected = 1 - np.exp(-(RING_SIGMAS**2) / 4)
    for s, image in enumerate(smoothed):
        at = np.flatnonzero(scale == s)
        if not len(at):
            continue
        y = np.rint(rows[at, None] + RING_SIGMAS * sigmas[s] * np.sin(angle)).astype(int)
        x = np.rint(cols[at, None] + RING_SIGMAS * sigmas[s] * np.cos(angle)).astype(int)
        y, x = np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)
        ring = np.partition(image[y, x], RING_RANK, axis=1)[:, RING_RANK]
        height = image[rows[at], cols[at]] - ring
        result[at] = height / (expected * response[at])
    return result


def _refine(image: Array, rows: Array, cols: Array) -> tuple[Array, Array]:
    """Refine maxima to sub-pixel positions with a parabola through three pixels along each axis, by at most half a pixel."""
    rows_in, cols_in = np.clip(rows, 1, image.shape[0] - 2), np.clip(cols, 1, image.shape[1] - 2)
    centre = image[rows_in, cols_in]

    def offset(before: Array, after: Array) -> Array:
        bend = before - 2 * centre + after
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(bend < 0, 0.5 * (before - after) / bend, 0)
        return np.asarray(np.clip(np.nan_to_num(step), -0.5, 0.5))

    dy = offset(image[rows_in - 1, cols_in], image[rows_in + 1, cols_in])
    dx = offset(image[rows_in, cols_in - 1], image[rows_in, cols_in + 1])
    return rows + dy, cols + dx


def _once(signals: Signals) -> Array:
    """Return indices, in reading order, that keep one of the dots found in two neighbouring nuclei's crops (within 1 px)."""
    from scipy.spatial import cKDTree

    if not len(signals):
        return np.zeros(0, int)
    pairs = cKDTree(signals.yx).query_pairs(1.0, output_type="ndarray")
    drop = np.zeros(len(signals), bool)
    for a, b in pairs:
        drop[b if signals.snr[a] >= signals.snr[b] else a] = True
    kept = np.flatnonzero(~drop)
    in_reading_order: Array = kept[np.lexsort((signals.yx[kept, 1], signals.yx[kept, 0]))]
    return in_reading_order
