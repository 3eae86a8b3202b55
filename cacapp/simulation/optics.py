"""Light and camera: dots, bleed-through, uneven light, shot and read noise."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.simulation.model import SlideModel
from cacapp.types import Array


def add_spot(plane: Array, y_px: float, x_px: float, height_gv: float, sigma_px: float) -> None:
    """Add a Gaussian of the given peak height to ``plane`` ((Y, X) float32), in place, clipped at its edges."""
    reach = int(4 * sigma_px + 1)
    y0, y1 = max(0, int(y_px) - reach), min(plane.shape[0], int(y_px) + reach + 1)
    x0, x1 = max(0, int(x_px) - reach), min(plane.shape[1], int(x_px) + reach + 1)
    if y0 < y1 and x0 < x1:
        column = np.exp(-((np.arange(y0, y1, dtype=np.float32) - y_px) ** 2) / (2 * sigma_px**2))
        row = np.exp(-((np.arange(x0, x1, dtype=np.float32) - x_px) ** 2) / (2 * sigma_px**2))
        plane[y0:y1, x0:x1] += (height_gv * column[:, None] * row).astype(np.float32)


def add_crop(plane: Array, crop: Array, top_px: int, left_px: int) -> None:
    """Add ``crop`` to ``plane`` at (top_px, left_px), in place; parts outside are dropped."""
    y0, x0 = max(0, top_px), max(0, left_px)
    y1, x1 = min(plane.shape[0], top_px + crop.shape[0]), min(plane.shape[1], left_px + crop.shape[1])
    if y0 < y1 and x0 < x1:
        plane[y0:y1, x0:x1] += crop[y0 - top_px : y1 - top_px, x0 - left_px : x1 - left_px]


def blur(plane: Array, sigma_px: float) -> Array:
    """Blur with a Gaussian and reflected borders; return ``plane`` itself where sigma is 0."""
    return plane if sigma_px <= 0 else np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101))


def bleed(light: Array, model: SlideModel) -> Array:
    """Return the light behind each filter: channel c receives its own dye plus shares of the others. (C, Y, X) float32 in and out."""
    mixing = np.eye(len(light), dtype=np.float32) + np.float32(model.bleed_scale) * np.array(model.bleed_through, np.float32).T
    return np.asarray(np.einsum("cd,dyx->cyx", mixing, light, optimize=True), np.float32)


def shading(rng: np.random.Generator, model: SlideModel, height_px: int, width_px: int, centre_yx: Array) -> Array:
    """Return the illumination, 1 at its centre, ``vignette`` lower in the corners, tilted in a random direction: (Y, X) float32.

    Args:
        centre_yx: brightest place, share of half the frame from its centre.
    """
    y = np.linspace(-1, 1, height_px, dtype=np.float32)[:, None] - np.float32(centre_yx[0])
    x = np.linspace(-1, 1, width_px, dtype=np.float32)[None] - np.float32(centre_yx[1])
    angle, slope = rng.uniform(0, 2 * np.pi), model.tilt * rng.random()
    light = 1 - model.vignette * (y**2 + x**2) / 2 + slope * (y * np.sin(angle) + x * np.cos(angle)) / np.sqrt(2)
    return np.asarray(np.maximum(light, 0.02), np.float32)


def gradient(height_px: int, width_px: int, rise_yx: Array) -> Array:
    """Return a plane that rises by ``rise_yx`` from edge to edge, 1 at the centre and never negative: (Y, X) float32."""
    y = np.linspace(-0.5, 0.5, height_px, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, width_px, dtype=np.float32)[None]
    return np.asarray(np.maximum(1 + np.float32(rise_yx[0]) * y + np.float32(rise_yx[1]) * x, 0), np.float32)


def expose(rng: np.random.Generator, model: SlideModel, light: Array) -> Array:
    """Return what the camera stores of ``light`` (float32, gv above the offset): uint16 or uint8 of the same shape.

    Value = offset + gain · Poisson(light / gain) + read noise, so the variance of a flat area is gain · light + read². The Poisson
    variate is the Cornish-Fisher expansion of its quantile, k = λ + √λ·z + (z² - 1)/6 for a normal z (Cornish and Fisher 1938; Fisher and
    Cornish 1960): unlike rejection sampling it draws the same random numbers whatever the image, so that a last-bit difference between
    processors stays where it is.
    """
    light = np.maximum(light, 0)
    if model.gain_gv > 0:
        z = rng.standard_normal(light.shape, dtype=np.float32)
        mean = light / np.float32(model.gain_gv)
        light = np.maximum(np.round(mean + np.sqrt(mean) * z + (z * z - 1) / 6 * (mean > 0)), 0) * np.float32(model.gain_gv)
    value = light + np.float32(model.offset_gv)
    if model.read_noise_gv > 0:
        value = value + np.float32(model.read_noise_gv) * rng.standard_normal(light.shape, dtype=np.float32)
    value = np.clip(value, 0, model.full_scale_gv)
    if model.bit_depth == 8:
        return np.asarray(np.round(value * np.float32(255 / model.full_scale_gv)).astype(np.uint8))
    return np.asarray(np.round(value).astype(np.uint16))
