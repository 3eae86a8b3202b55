"""Chromatic shift of a probe channel against DAPI: estimate from the diffuse light of nuclei in both, and removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.arrays.robust import robust_sd
from cacapp.types import Array, Instance

MAX_NUCLEI = 48  # measured
MIN_NUCLEI = 16
SMOOTH_PX = 3.0  # of outline and light: shifts up to about this are measured
MARGIN_PX = 8
CLIP_PERCENTILE = 60  # of the light inside a nucleus: dots stand above it
VISIBLE = 5.0  # smallest contrast of a nucleus against the light beside it, standard errors
SIGNIFICANT = 3.0  # standard errors
LEAST_PX = 0.3  # smaller shifts are not corrected


@dataclass(frozen=True, slots=True)
class Shift:
    """Displacement of a channel against DAPI.

    Attributes:
        y_px, x_px: the shift; 0, 0 where it is not significant.
        error_px: standard error of either.
        n_nuclei: number of nuclei that were measured, 0 where they were too few.
    """

    y_px: float
    x_px: float
    error_px: float
    n_nuclei: int

    @property
    def is_none(self) -> bool:
        return self.y_px == 0 and self.x_px == 0


@dataclass(frozen=True, slots=True)
class Outline:
    """Mask of a nucleus, blurred like light.

    Attributes:
        corner_yx: of its box with ``MARGIN_PX`` around it, frame px.
        mask: (h, w) bool.
        basis: (n, 4), at every second pixel of it: 1, the smoothed mask, its derivatives down and across.
    """

    corner_yx: tuple[int, int]
    mask: Array
    basis: Array


def soft_outlines(nuclei: Sequence[Instance]) -> list[Outline]:
    """Return the outlines of up to ``MAX_NUCLEI`` nuclei at even distances in the list, for ``measure_shift``."""
    result = []
    for nucleus in nuclei[:: max(1, -(-len(nuclei) // MAX_NUCLEI))]:
        mask = np.pad(nucleus.mask, MARGIN_PX)
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SMOOTH_PX)
        dy, dx = np.gradient(soft)
        basis = np.stack([np.ones(soft.size), soft.ravel(), dy.ravel(), dx.ravel()], axis=1)[::2]
        x, y = nucleus.bbox_xywh[:2]
        result.append(Outline((y - MARGIN_PX, x - MARGIN_PX), mask, basis))
    return result


def estimate_shift(plane: Array, outlines: Sequence[Outline], origin: Shift | None = None) -> Shift:
    """Estimate the shift of a channel against DAPI; 0 where it is too small or not significant.

    Args:
        plane: (Y, X) of any numeric dtype.
        origin: shift of DAPI itself against the outlines (``measure_shift``): all channels share the error of the outlines.
    """
    found = measure_shift(plane, outlines)
    y, x, error = found.y_px, found.x_px, found.error_px
    if origin is not None and origin.n_nuclei:
        y, x, error = y - origin.y_px, x - origin.x_px, float(np.hypot(error, origin.error_px))
    if np.hypot(y, x) < max(LEAST_PX, SIGNIFICANT * error):
        y, x = 0.0, 0.0
    return Shift(y, x, error, found.n_nuclei)


def measure_shift(plane: Array, outlines: Sequence[Outline]) -> Shift:
    """Measure the shift of a channel against the nuclei's outlines: the median over nuclei.

    For each nucleus the clipped light is fitted by a constant, its smoothed mask and the mask's two derivatives (Lucas & Kanade 1981): a
    mask m of height a moved by (y, x) is a (m - y dm/dy - x dm/dx) to first order; where that is half a pixel or more, once again about the
    first answer.

    Args:
        plane: (Y, X) of any numeric dtype.
    """
    about = np.zeros(2)
    shifts = np.zeros((0, 2))
    for _ in range(2):
        found = [one for o in outlines if (one := _shift_of(plane, o, about)) is not None]
        shifts = np.array(found).reshape(-1, 2)
        if len(shifts) < MIN_NUCLEI:
            return Shift(0.0, 0.0, float("nan"), 0)
        about = np.median(shifts, axis=0)
        if np.abs(about).max() < 0.5:
            break
    spread = robust_sd(shifts, about)
    error = 1.2533 * spread / float(np.sqrt(len(shifts)))  # that of a median
    return Shift(float(about[0]), float(about[1]), error, len(shifts))


def align(plane: Array, shift: Shift) -> Array:
    """Move a plane back by its shift, with linear interpolation and a repeated rim; return the plane itself for no shift."""
    if shift.is_none:
        return plane
    move = np.array([[1, 0, shift.x_px], [0, 1, shift.y_px]])
    height, width = plane.shape
    return cv2.warpAffine(plane, move, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)


def _shift_of(plane: Array, outline: Outline, about: Array) -> Array | None:
    """Measure the shift (y, x) px of one nucleus near ``about``; None at the frame's edge or without enough contrast."""
    top, left = outline.corner_yx[0] + round(about[0]), outline.corner_yx[1] + round(about[1])
    bottom, right = top + outline.mask.shape[0], left + outline.mask.shape[1]
    if top < 0 or left < 0 or bottom > plane.shape[0] or right > plane.shape[1]:
        return None
    light = plane[top:bottom, left:right].astype(np.float32)
    inside, outside = light[outline.mask], light[~outline.mask]
    middle, cap = len(inside) // 2, len(inside) * CLIP_PERCENTILE // 100
    inside.partition((middle, cap))
    contrast = float(inside[middle]) - float(np.median(outside))
    if contrast < VISIBLE * float(np.std(outside)) / np.sqrt(min(len(inside), len(outside))):
        return None
    capped = cv2.GaussianBlur(np.minimum(light, inside[cap]), (0, 0), SMOOTH_PX)
    basis = outline.basis
    _, height, by_y, by_x = np.linalg.lstsq(basis.T @ basis, basis.T @ capped.ravel()[::2].astype(float), rcond=None)[0]
    if height <= 0:
        return None
    return np.array([round(about[0]) - by_y / height, round(about[1]) - by_x / height])
