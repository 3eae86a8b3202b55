"""Brightness of a nucleus: chromatin at several scales, nucleoli, rim and thickness."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.simulation.model import SlideModel
from cacapp.types import Array


def smooth_noise(rng: np.random.Generator, height_px: int, width_px: int, scale_px: float) -> Array:
    """Draw a random field with structure of about ``scale_px``, mean near 0, spread near 1: (height_px, width_px) float32."""
    scale = max(1.0, scale_px)
    rows, cols = int(np.ceil(height_px / scale)) + 4, int(np.ceil(width_px / scale)) + 4
    grid = rng.standard_normal((rows, cols), dtype=np.float32)
    if scale == 1.0:
        return np.ascontiguousarray(grid[:height_px, :width_px])
    big = cv2.resize(grid, (round(cols * scale), round(rows * scale)), interpolation=cv2.INTER_CUBIC)
    top, left = (int(rng.integers(0, int(scale) + 1)) + int(scale) for _ in range(2))
    return np.ascontiguousarray(big[top : top + height_px, left : left + width_px]) * 1.3


def chromatin(rng: np.random.Generator, model: SlideModel, mask: Array) -> Array:
    """Draw the DAPI brightness of a nucleus, mean 1 over its mask, 0 outside: (h, w) float32."""
    h, w = mask.shape
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    radius = max(1.0, float(depth.max()))
    fine, coarse = (model.px(s) for s in model.texture_um)
    field = np.zeros((h, w), np.float32)
    for share, scale in ((0.75, coarse), (0.5, (fine * coarse) ** 0.5), (0.45, fine)):
        field += share * smooth_noise(rng, h, w, scale)
    light = np.exp(model.texture_contrast * rng.uniform(0.5, 1.4) * field)
    thickness = np.sqrt(np.clip(1 - (1 - np.clip(depth / (0.8 * radius), 0, 1)) ** 2, 0, 1))
    light *= 1 - model.dome * rng.uniform(0.5, 1.3) * (1 - thickness)
    rim_px = max(1.0, 0.09 * radius)
    light *= np.maximum(1 + rng.normal(0, model.rim_sd) * np.exp(-((depth / (2.5 * rim_px)) ** 2)), 0.1)
    inner = np.argwhere(depth > 0.35 * radius)
    for _ in range(int(rng.poisson(model.nucleoli))):
        y, x = inner[rng.integers(len(inner))]
        s = model.px(rng.uniform(*model.nucleolus_um)) / 2
        ys, xs = np.ogrid[-float(y) : h - float(y), -float(x) : w - float(x)]
        light *= 1 - rng.uniform(0.25, 0.6) * np.exp(-(((ys[:h] ** 2 + xs[:, :w] ** 2) / (2 * s**2)) ** 2))
    light = np.where(mask, np.maximum(light, 0.02), 0).astype(np.float32)
    return np.asarray(light / light[mask].mean())
