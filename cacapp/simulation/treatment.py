"""What programs do to pictures before they are saved: their grey values are no longer the camera's."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.simulation.instrument import Instrument
from cacapp.simulation.model import SlideModel
from cacapp.simulation.optics import blur
from cacapp.types import Array

BACKGROUND_UM = 25.0  # wider than a nucleus
CLIPPED_SHARE = 0.6  # of the pixels are 0 after "subtracted"
DECONVOLUTION_STEPS = 8
JPEG_QUALITY = 88
SATURATED_SHARE = 0.0005  # of a plane's pixels reach the level of "saturated"


def treat(instrument: Instrument, model: SlideModel, planes: Array) -> Array:
    """Return (C, Y, X) planes as the slide's treatment leaves them: uint16, or uint8 for ``eight-bit`` and ``jpeg``."""
    match instrument.treatment:
        case "subtracted":
            return np.stack([_subtract(plane, model) for plane in planes])
        case "deconvolved":
            return np.stack([_deconvolve(plane, model) for plane in planes])
        case "stretched":
            return np.stack([_stretch(plane, np.iinfo(planes.dtype).max).astype(planes.dtype) for plane in planes])
        case "eight-bit":
            return np.stack([_stretch(plane, 255).astype(np.uint8) for plane in planes])
        case "jpeg":
            return np.stack([_jpeg(_stretch(plane, 255).astype(np.uint8)) for plane in planes])
        case "saturated":
            return np.stack([np.minimum(plane, _level(plane)) for plane in planes])
    return planes


def _subtract(plane: Array, model: SlideModel) -> Array:
    """Take the slow background off and clip at 0, at a level that makes most pixels 0."""
    small = cv2.resize(plane.astype(np.float32), None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    side = max(3, int(model.px(BACKGROUND_UM) / 8)) | 1
    floor = blur(cv2.morphologyEx(small, cv2.MORPH_OPEN, np.ones((side, side))), side / 2)
    above = plane - cv2.resize(floor, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.round(np.maximum(above - np.quantile(above[::4, ::4], CLIPPED_SHARE), 0)).astype(plane.dtype))


def _deconvolve(plane: Array, model: SlideModel) -> Array:
    """Richardson-Lucy (Richardson 1972; Lucy 1974) with a Gaussian as wide as the narrowest signal."""
    sigma = model.px(float(np.hypot(model.signal_sigma_um[0], model.blur_um)))
    seen = np.maximum(plane.astype(np.float32) - np.float32(model.offset_gv), 1)
    estimate = seen.copy()
    for _ in range(DECONVOLUTION_STEPS):
        estimate *= blur(seen / np.maximum(blur(estimate, sigma), 1), sigma)
    return np.asarray(np.clip(np.round(estimate), 0, np.iinfo(plane.dtype).max).astype(plane.dtype))


def _stretch(plane: Array, top: int) -> Array:
    low, high = np.quantile(plane[::4, ::4], [0.002, 0.9998])
    return np.asarray(np.round(np.clip((plane.astype(np.float32) - low) / max(1.0, high - low), 0, 1) * top))


def _jpeg(plane: Array) -> Array:
    _, coded = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def _level(plane: Array) -> int:
    """Return a level that a few pixels reach and that is one less than no power of two."""
    level = int(np.quantile(plane, 1 - SATURATED_SHARE))
    return max(2, level - 3) if (level + 1) & level == 0 else level
