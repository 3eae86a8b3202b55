"""Sharpness and saturation of nuclei."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cacapp.types import Array, Instance


def focus_of(dapi: Array, nuclei: Sequence[Instance]) -> Array:
    """Return the gradient energy of each nucleus relative to its brightness: (N,) float64, about 0 for a blurred one.

    Mean squared Sobel gradient over the mask (the Tenengrad, Krotkov 1987) divided by the squared mean brightness above the crop's
    darkest tenth: the same nucleus gives the same value whatever the exposure.

    Args:
        dapi: (Y, X) uint8 or uint16.
    """
    result = np.zeros(len(nuclei))
    for n, nucleus in enumerate(nuclei):
        x, y, w, h = nucleus.bbox_xywh
        crop = dapi[y : y + h, x : x + w].astype(np.float32)
        across, down = cv2.Sobel(crop, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(crop, cv2.CV_32F, 0, 1, scale=0.125)
        lift = float(crop[nucleus.mask].mean() - np.percentile(crop, 10))
        energy = float((across**2 + down**2)[nucleus.mask].mean())
        result[n] = energy / lift**2 if lift > 0 else 0.0
    return result


def saturated_share(plane: Array, nuclei: Sequence[Instance]) -> float:
    """Return the share of the nuclei's pixels at the dtype's largest value, in [0, 1]; 0 without nuclei."""
    top = np.iinfo(plane.dtype).max
    full = total = 0
    for nucleus in nuclei:
        x, y, w, h = nucleus.bbox_xywh
        pixels = plane[y : y + h, x : x + w][nucleus.mask]
        full, total = full + int((pixels == top).sum()), total + pixels.size
    return full / total if total else 0.0
