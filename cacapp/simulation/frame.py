"""One simulated field of view: five channels and the exact truth beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.exceptions import UsageError
from cacapp.simulation.copies import draw_kinds
from cacapp.simulation.layout import Layout, PlacedNucleus
from cacapp.simulation.model import SlideModel
from cacapp.simulation.optics import add_crop, add_spot, bleed, blur, expose, shading
from cacapp.simulation.texture import chromatin, smooth_noise
from cacapp.types import CHANNELS, PROBE_CHANNELS, Array


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One true nucleus.

    Attributes:
        label: its value in the label image.
        y, x: centroid of its visible part, px.
        area_px: its visible pixels.
        kind: one of simulation.KINDS, or ``cut``: a normal nucleus that the frame's edge cuts.
        copies: visible copies of the four probes, in PROBE_CHANNELS order.
    """

    label: int
    y: float
    x: float
    area_px: int
    kind: str
    copies: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SimulatedFrame:
    """A frame and its truth.

    Attributes:
        planes: (5, Y, X) uint16 (uint8 where the model's bit depth is 8), in CHANNELS order.
        labels: (Y, X) int32, the visible part of each nucleus, 0 background.
        truth: one row a nucleus, label 1 first.
        signals_yx: channel -> (n, 2) float64 true positions of all copies, px.
    """

    planes: Array
    labels: Array
    truth: tuple[TruthRow, ...]
    signals_yx: Mapping[str, Array]


def simulate_frame(
    model: SlideModel,
    rng: np.random.Generator,
    height_px: int,
    width_px: int,
    nuclei: int,
    kinds: Mapping[str, float] | None = None,
) -> SimulatedFrame:
    """Simulate one frame.

    Args:
        rng: the only source of randomness; the same state gives the same frame.
        nuclei: number of whole nuclei; ``model.edge_share`` adds cut ones.
        kinds: whole numbers: exact counts, summing to ``nuclei``; fractions: probabilities, summing to 1. Keys: simulation.KINDS.
            None: the shares of ``model``.

    Raises:
        UsageError: a frame below 32 px, a negative number of nuclei or wrong ``kinds``.
        CacappError: the nuclei do not fit.
    """
    if min(height_px, width_px) < 32:
        raise UsageError(f"simulation: a frame of {height_px} x {width_px} px is too small; 32 px a side is the least")
    if nuclei < 0:
        raise UsageError(f"simulation: nuclei is {nuclei}; it cannot be negative")
    order = draw_kinds(rng, nuclei, model.kinds() if kinds is None else kinds)
    if model.missing_hybridisation:
        order = ["failed" if kind == "normal" and rng.random() < model.missing_hybridisation else kind for kind in order]
    layout = Layout(model, height_px, width_px)
    for kind in sorted(order, key=lambda kind: kind == "normal"):  # the rare and crowded ones first, while there is room
        layout.add(rng, kind)
    for _ in range(round(model.edge_share * nuclei)):
        layout.add(rng, "cut")

    light = np.zeros((len(CHANNELS), height_px, width_px), np.float32)
    for nucleus in layout.nuclei:
        _render_nucleus(rng, model, light, nucleus)
    _render_dirt(rng, model, light, layout.labels)
    light = bleed(light, model)
    for plane in light:
        plane[:] = blur(plane, model.px(model.blur_um))
        plane += rng.uniform(*model.background_gv) * np.maximum(
            1 + np.float32(model.background_texture) * smooth_noise(rng, height_px, width_px, max(8.0, model.px(15.0))), 0
        )
        plane *= shading(rng, model, height_px, width_px)
    return SimulatedFrame(expose(rng, model, light), layout.labels, _truth(layout), _signals(layout))


def _render_nucleus(rng: np.random.Generator, model: SlideModel, light: Array, nucleus: PlacedNucleus) -> None:
    sigma = model.px(rng.uniform(*model.defocus_um)) if rng.random() < model.defocus else 0.0
    pad = int(np.ceil(3 * sigma + model.px(2.0)))
    mask = np.pad(nucleus.mask, pad)
    top, left = nucleus.top_px - pad, nucleus.left_px - pad
    brightness = rng.uniform(*model.dapi_gv)
    dapi = chromatin(rng, model, mask) * np.float32(brightness)
    add_crop(light[0], blur(dapi, float(np.hypot(sigma, model.px(model.border_um)))), top, left)

    # Cytoplasm is fluorescent too: the mask widened by about a µm, with its own texture.
    if model.autofluorescence_gv > 0:
        cytoplasm = blur(mask.astype(np.float32), max(sigma, model.px(0.6)))
        cytoplasm *= np.maximum(1 + 0.25 * smooth_noise(rng, mask.shape[0], mask.shape[1], model.px(1.5)), 0)
        cytoplasm += 0.25 * blur(cv2.dilate(mask.astype(np.float32), np.ones((3, 3)), iterations=int(model.px(0.7))), model.px(0.4))
    for channel, positions in enumerate(nucleus.signals_yx, 1):
        if model.autofluorescence_gv > 0:
            add_crop(light[channel], cytoplasm * np.float32(rng.uniform(0.25, 1) * model.autofluorescence_gv * 0.8), top, left)
        height = rng.uniform(*model.signal_gv)
        for y, x in positions:
            _render_copy(rng, model, light[channel], (float(y), float(x)), height * rng.lognormal(0, model.signal_jitter), sigma)


def _render_copy(
    rng: np.random.Generator, model: SlideModel, plane: Array, yx: tuple[float, float], height: float, defocus_px: float
) -> None:
    sharp = model.px(rng.uniform(*model.signal_sigma_um))
    sigma = float(np.hypot(sharp, defocus_px / 2))
    height *= (sharp / sigma) ** 2  # out of focus the same light is spread over more pixels
    if rng.random() >= model.split:
        add_spot(plane, *yx, height, sigma)
        return
    angle, half = rng.uniform(0, 2 * np.pi), model.px(model.split_um) / 2
    share = rng.uniform(0.45, 0.75)
    for sign, part in ((1, share), (-1, 1.2 - share)):
        add_spot(plane, yx[0] + sign * half * np.sin(angle), yx[1] + sign * half * np.cos(angle), height * part, sigma)


def _render_dirt(rng: np.random.Generator, model: SlideModel, light: Array, labels: Array) -> None:
    """Add specks in single probe channels, specks in all channels, and dim blobs of light from far out of focus."""
    height, width = labels.shape
    area_mm2 = labels.size * (model.pixel_size_um / 1000) ** 2
    reach = max(1, int(model.px(model.debris_clearance_um)))
    crowded = cv2.dilate((labels > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    single = [(channel,) for channel in range(1, len(CHANNELS)) for _ in range(rng.poisson(model.debris_per_mm2 * area_mm2))]
    shared = [tuple(range(len(CHANNELS)))] * int(rng.poisson(model.shared_debris_per_mm2 * area_mm2))
    for channels in [*single, *shared]:
        y, x = rng.uniform(0, height - 1), rng.uniform(0, width - 1)
        # One number of draws per speck, kept or not.
        on_nucleus, sigma = rng.random() < model.debris_on_nuclei, model.px(rng.uniform(*model.debris_sigma_um))
        heights = rng.uniform(*model.debris_gv) * (rng.uniform(0.5, 1.0, len(channels)) if len(channels) > 1 else np.ones(1))
        if crowded[round(y), round(x)] and not on_nucleus:
            continue
        for channel, peak in zip(channels, heights, strict=True):
            add_spot(light[channel], y, x, float(peak), sigma)
    for _ in range(rng.poisson(model.haze_per_mm2 * area_mm2)):
        y, x, sigma = rng.uniform(0, height), rng.uniform(0, width), model.px(rng.uniform(*model.haze_sigma_um))
        peak, shares = rng.uniform(*model.haze_gv), np.r_[1.0, rng.uniform(0.1, 0.5, len(PROBE_CHANNELS))]
        for channel, share in enumerate(shares):
            add_spot(light[channel], y, x, peak * share, sigma)


def _truth(layout: Layout) -> tuple[TruthRow, ...]:
    ys, xs = np.nonzero(layout.labels)
    owner = layout.labels[ys, xs]
    n = np.maximum(np.bincount(owner, minlength=len(layout.nuclei) + 1), 1)
    cy, cx = (np.bincount(owner, v, minlength=len(n)) / n for v in (ys, xs))
    return tuple(TruthRow(c.label, float(cy[c.label]), float(cx[c.label]), c.area_px, c.kind, c.copies) for c in layout.nuclei)


def _signals(layout: Layout) -> dict[str, Array]:
    none = np.zeros((0, 2))
    return {name: np.concatenate([none, *(c.signals_yx[i] for c in layout.nuclei)]) for i, name in enumerate(PROBE_CHANNELS)}
