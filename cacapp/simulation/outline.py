"""Outlines of nuclei: smooth closed curves of a given area, and their masks."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.simulation.model import SlideModel
from cacapp.types import Array

POINTS = 96
_THETA = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
SHAPES = ("round", "oval", "kidney", "lobed")


def fourier_radius(rng: np.random.Generator, spread: float, orders: range = range(2, 8)) -> Array:
    """Draw the radius over ``POINTS`` angles, mean 1: a low-order Fourier series with falling coefficients. (POINTS,) float64."""
    radius = np.ones(POINTS)
    for k in orders:
        radius += spread * (2 / k) * rng.normal() * np.cos(k * _THETA + rng.uniform(0, 2 * np.pi))
    return np.maximum(radius, 0.3)


def draw_outline(rng: np.random.Generator, model: SlideModel, diameter_px: float) -> Array:
    """Draw one outline around the origin with the area of a disk of ``diameter_px``: (POINTS, 2) float64, px, (x, y)."""
    weights = np.array([model.round_weight, model.oval_weight, model.kidney_weight, model.lobed_weight])
    shape = SHAPES[rng.choice(len(SHAPES), p=weights / weights.sum())]
    radius = fourier_radius(rng, model.irregularity)
    stretch = 1 + 0.12 * rng.random()
    if shape == "oval":
        stretch = rng.uniform(1.0 + 0.3 * (model.elongation_max - 1), model.elongation_max)
    elif shape == "kidney":
        # A dent on one long side; its angular width keeps the outline smooth.
        depth, width, where = rng.uniform(0.2, 0.42), rng.uniform(0.4, 0.65), rng.uniform(0.35, 0.65) * np.pi
        radius *= 1 - depth * np.exp(-((_THETA - where) ** 2) / (2 * width**2))
        stretch = rng.uniform(1.05, 1.3)
    elif shape == "lobed":
        lobes = int(rng.integers(2, 4))
        radius *= 1 + rng.uniform(0.15, 0.32) * np.cos(lobes * _THETA + rng.uniform(0, 2 * np.pi))
    xy = np.stack([radius * np.cos(_THETA) * np.sqrt(stretch), radius * np.sin(_THETA) / np.sqrt(stretch)], axis=1)
    turn = rng.uniform(0, 2 * np.pi)
    xy = xy @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    x, y = xy.T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return np.asarray((xy - xy.mean(axis=0)) * (diameter_px / 2) * np.sqrt(np.pi / area))


def fill(outline_xy: Array) -> Array:
    """Return the mask of an outline in its tight box: (h, w) bool."""
    low = outline_xy.min(axis=0)
    w, h = np.ceil(outline_xy.max(axis=0) - low).astype(int) + 1
    # fillPoly also paints the border's pixels, half a pixel too many all around: four times finer that is an eighth.
    fine = np.zeros((4 * int(h), 4 * int(w)), np.uint8)
    fixed = np.round((outline_xy - low + 0.5) * 4 * 16).astype(np.int32)  # 4 fractional bits
    cv2.fillPoly(fine, [fixed], 255, lineType=cv2.LINE_8, shift=4)
    return np.asarray(cv2.resize(fine, (int(w), int(h)), interpolation=cv2.INTER_AREA) > 127)
