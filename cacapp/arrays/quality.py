"""Quality of a channel from its pixels: background, saturation, sharpness of dots, and traces of a lossy file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.grey_values import camera_top, full_level, noise_correlation, steps_of, wrapped_share
from cacapp.arrays.robust import MAD_TO_SD, robust_sd
from cacapp.types import Array, Instance

MAX_NUCLEI = 48  # in a median over nuclei
STEP_PX = 8  # distance of the pixels in a median over the background
SAMPLED_ROWS = 240  # in the search for traces of JPEG
CLEAR = 6.0  # smallest height of a dot, standard deviations of the nucleus


@dataclass(frozen=True, slots=True)
class PlaneQuality:
    """Measures of one channel of one frame.

    Attributes:
        background: median grey value outside the nuclei; ``noise``: standard deviation there, from the median absolute deviation.
        top: the camera's largest grey value; ``full_at``: the value of a full pixel, which may be lower (``full_level``).
        saturated: (N,) share of each nucleus' pixels at ``full_at``; ``plateau_px``: (N,) diameter of the disk as large as its largest
            patch of such pixels.
        fill: how evenly nuclei shine: median over nuclei of (median - background) / (99.5th percentile - background); near 1 for a
            counterstain, near 0 for dots. NaN without nuclei.
        sharpness: median over nuclei with a clear dot of the share of its height that is lost ``radius_px`` away from its peak; near 1
            for a dot in focus. NaN without clear dots.
        blockiness: steps at every eighth pixel over those elsewhere; 1 for a camera's picture, above it for a JPEG.
        step, lowest, gap: of the nuclei's grey values, see ``steps_of``.
        wrapped, correlation: see ``wrapped_share``, ``noise_correlation``.
    """

    background: float
    noise: float
    top: int
    full_at: int
    saturated: Array
    plateau_px: Array
    fill: float
    sharpness: float
    blockiness: float
    step: float
    lowest: float
    gap: float
    wrapped: float
    correlation: float


def sample_outside(shape: tuple[int, ...], nuclei: Sequence[Instance]) -> Array:
    """Return bool, every ``STEP_PX``-th pixel of a frame along both axes: outside the nuclei; all pixels where there is no outside."""
    outside = np.ones(shape, bool)
    for nucleus in nuclei:
        x, y, w, h = nucleus.bbox_xywh
        outside[y : y + h, x : x + w] &= ~nucleus.mask
    thin = np.ascontiguousarray(outside[::STEP_PX, ::STEP_PX])
    return thin if thin.any() else ~thin


def plane_quality(plane: Array, nuclei: Sequence[Instance], radius_px: float, outside: Array | None = None) -> PlaneQuality:
    """Measure a channel.

    Args:
        plane: (Y, X) uint8 or uint16.
        radius_px: half the diameter of a signal.
        outside: as ``sample_outside`` gives it, where several planes share the nuclei.
    """
    thin = plane[::STEP_PX, ::STEP_PX][sample_outside(plane.shape, nuclei) if outside is None else outside]
    background = float(np.median(thin))
    noise = robust_sd(thin.astype(np.float32), background)
    full_at = full_level(plane)
    saturated = saturated_shares(plane, nuclei, full_at)
    some = nuclei[:: max(1, -(-len(nuclei) // MAX_NUCLEI))]
    fills, drops, greys = [], [], [np.zeros(0, plane.dtype)]
    for nucleus in some:
        x, y, w, h = nucleus.bbox_xywh
        crop = plane[y : y + h, x : x + w].astype(np.float32)
        values = crop[nucleus.mask]
        greys.append(plane[y : y + h, x : x + w][nucleus.mask])
        half, most = len(values) // 2, round(0.995 * (len(values) - 1))
        values.partition((half, most))
        middle, bright = float(values[half]), float(values[most])
        fills.append((middle - background) / max(bright - background, 1.0))
        drop = _drop(crop, nucleus.mask, middle, radius_px)
        if drop is not None:
            drops.append(drop)
    grey = steps_of(np.concatenate(greys))
    return PlaneQuality(
        background=background,
        noise=noise,
        top=camera_top(plane),
        full_at=full_at,
        saturated=saturated,
        plateau_px=plateaus(plane, nuclei, full_at, saturated),
        fill=float(np.median(fills)) if fills else float("nan"),
        sharpness=float(np.median(drops)) if drops else float("nan"),
        blockiness=blockiness(plane),
        step=grey.step,
        lowest=grey.lowest,
        gap=grey.gap,
        wrapped=wrapped_share(plane),
        correlation=noise_correlation(plane),
    )


def saturated_shares(plane: Array, nuclei: Sequence[Instance], top: int) -> Array:
    """Return the share, (N,), of each nucleus' pixels at or above ``top``."""
    shares = np.zeros(len(nuclei))
    if int(plane.max(initial=0)) < top:
        return shares
    for n, nucleus in enumerate(nuclei):
        x, y, w, h = nucleus.bbox_xywh
        shares[n] = np.mean(plane[y : y + h, x : x + w][nucleus.mask] >= top)
    return shares


def plateaus(plane: Array, nuclei: Sequence[Instance], top: int, saturated: Array) -> Array:
    """Return the diameter, (N,) px, of the disk as large as the largest patch of pixels at ``top`` of each nucleus; 0 without any."""
    result = np.zeros(len(nuclei))
    for n in np.flatnonzero(saturated).tolist():
        x, y, w, h = nuclei[n].bbox_xywh
        full = (plane[y : y + h, x : x + w] >= top) & nuclei[n].mask
        areas = cv2.connectedComponentsWithStats(full.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
        result[n] = np.sqrt(4 / np.pi * areas.max(initial=0))
    return result


def blockiness(plane: Array) -> float:
    """Return the mean step between columns 8k - 1 and 8k over the mean step elsewhere: JPEG codes blocks of 8 x 8 pixels one by one."""
    if plane.shape[1] < 32:
        return 1.0
    step = np.abs(np.diff(plane[:: 4 * max(1, plane.shape[0] // (4 * SAMPLED_ROWS))].astype(np.float32), axis=1)).mean(axis=0)
    phase = np.array([step[k::8].mean() for k in range(8)])
    others = float(np.median(phase[:7]))
    return float(phase[7] / others) if others > 0 else 1.0


def _drop(crop: Array, mask: Array, middle: float, radius_px: float) -> float | None:
    """Return the share of the brightest dot's height that is lost on a ring around it; None where no dot is clear."""
    row, column = (int(v) for v in np.unravel_index(int(np.argmax(np.where(mask, crop, -np.inf))), crop.shape))
    off = np.abs(crop[mask] - middle)
    off.partition(len(off) // 2)
    top = float(crop[row, column])
    if top - middle <= CLEAR * max(MAD_TO_SD * float(off[len(off) // 2]), 1e-6):
        return None
    reach = int(radius_px + 2)
    around = slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1)
    near = crop[around]
    y, x = np.ogrid[: near.shape[0], : near.shape[1]]
    distance = np.hypot(y + around[0].start - row, x + around[1].start - column)
    ring = near[(np.abs(distance - radius_px) <= 0.75) & mask[around]]
    return float((top - np.median(ring)) / (top - middle)) if ring.size else None
