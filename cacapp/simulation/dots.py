"""Dots of light: copies in their forms and depths, and what is no copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cacapp.simulation.model import SlideModel
from cacapp.simulation.optics import add_spot
from cacapp.types import Array

DotKind = Literal["copy", "nonspecific", "granule", "debris", "spike"]
Form = Literal["single", "split", "replicated", "streaked", "diffuse", ""]


@dataclass(frozen=True, slots=True)
class Dot:
    """One copy, or one light that is no copy, with the reason why it is none.

    Attributes:
        label: nucleus that it lies in, 0 outside.
        channel: index in CHANNELS.
        y, x: centre in that channel's picture, px; before the channel's own displacement while a frame is drawn.
        z_um: distance from the channel's focal plane, µm.
        height_gv, sigma_um: height and standard deviation as seen, before the microscope's blur, bleed-through and shading.
        kind: ``copy``, or what it is instead: ``nonspecific`` dot in a nucleus, ``granule`` of a granular cell, ``debris``, ``spike``
            of one pixel.
        form: of a copy.
    """

    label: int
    channel: int
    y: float
    x: float
    z_um: float
    height_gv: float
    sigma_um: float
    kind: DotKind
    form: Form = ""


def out_of_focus(model: SlideModel, height_gv: float, sigma_px: float, z_um: float) -> tuple[float, float]:
    """Return height and width of a dot at a distance from the focal plane.

    A focused beam widens as sqrt(1 + (z / z0)²) (Gaussian beam; Siegman, Lasers, 1986, ch. 17), z0 = ``half_height_depth_um``; its light
    is kept, so its height falls by the square.
    """
    widening = 1 + (z_um / model.half_height_depth_um) ** 2
    return height_gv / widening, sigma_px * float(np.sqrt(widening))


def add_copy(
    rng: np.random.Generator,
    model: SlideModel,
    plane: Array,
    yx: tuple[float, float],
    height_gv: float,
    defocus_px: float,
    z_um: float,
    replicated: bool,
) -> tuple[float, float, Form]:
    """Add the light of one copy to ``plane``; return its height (gv), its standard deviation (px) and its form."""
    sharp = model.px(rng.uniform(*model.signal_sigma_um))
    sigma = float(np.hypot(sharp, defocus_px / 2))
    height_gv *= (sharp / sigma) ** 2  # out of focus the same light is spread over more pixels
    if z_um:
        height_gv, sigma = out_of_focus(model, height_gv, sigma, z_um)
    split = rng.random() < model.split
    if replicated:
        half, parts = model.px(rng.uniform(*model.replicated_um)) / 2, rng.uniform(*model.replicated_height, 2)
        _add_two(plane, yx, half, rng.uniform(0, 2 * np.pi), height_gv, (float(parts[0]), float(parts[1])), sigma)
        return height_gv * float(parts.max()), sigma, "replicated"
    if split:
        angle, half = rng.uniform(0, 2 * np.pi), model.px(model.split_um) / 2
        share = rng.uniform(0.45, 0.75)
        _add_two(plane, yx, half, angle, height_gv, (share, 1.2 - share), sigma)
        return height_gv * max(share, 1.2 - share), sigma, "split"
    if model.streaked and rng.random() < model.streaked:
        length, angle = model.px(rng.uniform(*model.streak_um)), rng.uniform(0, 2 * np.pi)
        places = np.linspace(-length / 2, length / 2, max(2, int(np.ceil(length / sigma)) + 1))
        for t in places:
            add_spot(plane, yx[0] + t * np.sin(angle), yx[1] + t * np.cos(angle), height_gv / len(places), sigma)
        peak = float(np.exp(-(places**2) / (2 * sigma**2)).mean())
        return height_gv * peak, sigma, "streaked"
    if model.diffuse and rng.random() < model.diffuse:
        factor = float(rng.uniform(*model.diffuse_widening))
        add_spot(plane, *yx, height_gv / factor, sigma * factor)
        return height_gv / factor, sigma * factor, "diffuse"
    add_spot(plane, *yx, height_gv, sigma)
    return height_gv, sigma, "single"


def _add_two(
    plane: Array, yx: tuple[float, float], half_px: float, angle: float, height_gv: float, parts: tuple[float, float], sigma_px: float
) -> None:
    for sign, part in zip((1, -1), parts, strict=True):
        add_spot(plane, yx[0] + sign * half_px * np.sin(angle), yx[1] + sign * half_px * np.cos(angle), height_gv * part, sigma_px)
