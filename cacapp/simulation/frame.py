"""One simulated field of view: five channels and the exact truth beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cacapp.exceptions import UsageError
from cacapp.simulation.bank import NucleusBank
from cacapp.simulation.copies import draw_kinds
from cacapp.simulation.dirt import add_spikes, render_dirt
from cacapp.simulation.dots import Dot
from cacapp.simulation.instrument import Instrument, draw_instrument
from cacapp.simulation.layout import Layout
from cacapp.simulation.model import SlideModel
from cacapp.simulation.nucleus import NucleusState, render_nucleus
from cacapp.simulation.optics import bleed, blur, expose, gradient, shading
from cacapp.simulation.texture import smooth_noise
from cacapp.simulation.treatment import treat
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
        state: height above the focal plane, thickness, replication, granular cytoplasm.
    """

    label: int
    y: float
    x: float
    area_px: int
    kind: str
    copies: tuple[int, ...]
    state: NucleusState


@dataclass(frozen=True, slots=True)
class SimulatedFrame:
    """A frame and its truth.

    Attributes:
        planes: (5, Y, X) uint16 (uint8 where the model's bit depth or the treatment is 8 bit), in CHANNELS order.
        labels: (Y, X) int32, the visible part of each nucleus, 0 background.
        truth: one row a nucleus, label 1 first.
        signals_yx: channel -> (n, 2) float64 true positions of all copies, in that channel's picture, px.
        dots: all copies, and all lights that are no copies with the reason why: non-specific, granule, debris, spike.
    """

    planes: Array
    labels: Array
    truth: tuple[TruthRow, ...]
    signals_yx: Mapping[str, Array]
    dots: tuple[Dot, ...]


def simulate_frame(
    model: SlideModel,
    rng: np.random.Generator,
    height_px: int,
    width_px: int,
    nuclei: int,
    kinds: Mapping[str, float] | None = None,
    *,
    instrument: Instrument | None = None,
    bank: NucleusBank | None = None,
) -> SimulatedFrame:
    """Simulate one frame.

    Args:
        rng: the only source of randomness; the same state gives the same frame.
        nuclei: number of whole nuclei; ``model.edge_share`` adds cut ones.
        kinds: whole numbers: exact counts, summing to ``nuclei``; fractions: probabilities, summing to 1. Keys: simulation.KINDS.
            None: the shares of ``model``.
        instrument: of the slide; None: drawn for this frame alone.
        bank: nuclei of labelled images; None: outlines and chromatin are drawn.

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
    if instrument is None:
        instrument = draw_instrument(rng, model)
    if model.frame_focus_sd_um:
        instrument = instrument.refocused(float(rng.normal(0, model.frame_focus_sd_um)))
    layout = Layout(model, height_px, width_px, bank)
    for kind in sorted(order, key=lambda kind: kind == "normal"):  # the rare and crowded ones first, while there is room
        layout.add(rng, kind)
    for _ in range(round(model.edge_share * nuclei)):
        layout.add(rng, "cut")

    light = np.zeros((len(CHANNELS), height_px, width_px), np.float32)
    states, dots = [], []
    for nucleus in layout.nuclei:
        state, own = render_nucleus(rng, model, instrument, light, nucleus)
        states.append(state)
        dots += own
    dots += render_dirt(rng, model, light, layout.labels)
    dots = _displaced(instrument, dots, height_px, width_px)
    planes = expose(rng, model, _through_optics(rng, model, instrument, light))
    dots += add_spikes(rng, model, instrument, planes, layout.labels)
    return SimulatedFrame(
        treat(instrument, model, planes),
        layout.labels,
        _truth(layout, states),
        {name: _copies_yx(dots, channel) for channel, name in enumerate(PROBE_CHANNELS, 1)},
        tuple(dots),
    )


def _through_optics(rng: np.random.Generator, model: SlideModel, instrument: Instrument, light: Array) -> Array:
    """Return the light on the camera: behind each filter, blurred and displaced by the channel's optics, with background and shading."""
    height_px, width_px = light.shape[1:]
    light = bleed(light, model)
    for channel, plane in enumerate(light):
        plane[:] = blur(plane, model.px(instrument.blur_um))
        if instrument.moves:
            plane[:] = instrument.warp(channel, plane)
        background = rng.uniform(*model.background_gv) * np.maximum(
            1 + np.float32(model.background_texture) * smooth_noise(rng, height_px, width_px, max(8.0, model.px(15.0))), 0
        )
        if instrument.gradient_yx[channel].any():
            background *= gradient(height_px, width_px, instrument.gradient_yx[channel])
        plane += background
        plane *= shading(rng, model, height_px, width_px, instrument.centre_yx[channel])
    return light


def _displaced(instrument: Instrument, dots: list[Dot], height_px: int, width_px: int) -> list[Dot]:
    """Return the dots where their channels' optics place them."""
    if not instrument.moves:
        return dots
    moved = []
    for dot in dots:
        y, x = instrument.place(dot.channel, np.array([[dot.y, dot.x]]), height_px, width_px)[0]
        moved.append(replace(dot, y=float(y), x=float(x)))
    return moved


def _truth(layout: Layout, states: list[NucleusState]) -> tuple[TruthRow, ...]:
    ys, xs = np.nonzero(layout.labels)
    owner = layout.labels[ys, xs]
    n = np.maximum(np.bincount(owner, minlength=len(layout.nuclei) + 1), 1)
    cy, cx = (np.bincount(owner, v, minlength=len(n)) / n for v in (ys, xs))
    return tuple(
        TruthRow(c.label, float(cy[c.label]), float(cx[c.label]), c.area_px, c.kind, c.copies, state)
        for c, state in zip(layout.nuclei, states, strict=True)
    )


def _copies_yx(dots: list[Dot], channel: int) -> Array:
    return np.array([(d.y, d.x) for d in dots if d.channel == channel and d.kind == "copy"], float).reshape(-1, 2)
