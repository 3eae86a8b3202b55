"""Light beside nuclei, and pixels that no light made: specks, light from far out of focus, spikes."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.simulation.dots import Dot
from cacapp.simulation.instrument import Instrument
from cacapp.simulation.model import SlideModel
from cacapp.simulation.optics import add_spot
from cacapp.types import CHANNELS, PROBE_CHANNELS, Array


def render_dirt(rng: np.random.Generator, model: SlideModel, light: Array, labels: Array) -> list[Dot]:
    """Add specks in single probe channels, specks in all channels, and dim blobs of light from far out of focus; return the specks."""
    height, width = labels.shape
    area_mm2 = labels.size * (model.pixel_size_um / 1000) ** 2
    reach = max(1, int(model.px(model.debris_clearance_um)))
    crowded = cv2.dilate((labels > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    single = [(channel,) for channel in range(1, len(CHANNELS)) for _ in range(rng.poisson(model.debris_per_mm2 * area_mm2))]
    shared = [tuple(range(len(CHANNELS)))] * int(rng.poisson(model.shared_debris_per_mm2 * area_mm2))
    dots = []
    for channels in [*single, *shared]:
        y, x = rng.uniform(0, height - 1), rng.uniform(0, width - 1)
        # One number of draws per speck, kept or not.
        on_nucleus, sigma = rng.random() < model.debris_on_nuclei, model.px(rng.uniform(*model.debris_sigma_um))
        heights = rng.uniform(*model.debris_gv) * (rng.uniform(0.5, 1.0, len(channels)) if len(channels) > 1 else np.ones(1))
        if crowded[round(y), round(x)] and not on_nucleus:
            continue
        label = int(labels[round(y), round(x)])
        for channel, peak in zip(channels, heights, strict=True):
            add_spot(light[channel], y, x, float(peak), sigma)
            dots.append(Dot(label, channel, y, x, 0.0, float(peak), sigma * model.pixel_size_um, "debris"))
    for _ in range(rng.poisson(model.haze_per_mm2 * area_mm2)):
        y, x, sigma = rng.uniform(0, height), rng.uniform(0, width), model.px(rng.uniform(*model.haze_sigma_um))
        peak, shares = rng.uniform(*model.haze_gv), np.r_[1.0, rng.uniform(0.1, 0.5, len(PROBE_CHANNELS))]
        for channel, share in enumerate(shares):
            add_spot(light[channel], y, x, peak * share, sigma)
    return dots


def add_spikes(rng: np.random.Generator, model: SlideModel, instrument: Instrument, planes: Array, labels: Array) -> list[Dot]:
    """Raise single pixels of stored (5, Y, X) ``planes``, in place; return them, all of width 0.

    Hot pixels are the camera's: the same in all channels and frames of a slide. Cosmic rays hit anywhere.
    """
    if not instrument.spikes_per_mpx:
        return []
    top, scale = (int(model.full_scale_gv), 1.0) if model.bit_depth == 16 else (255, 255 / model.full_scale_gv)
    mean = instrument.spikes_per_mpx * labels.size / 1e6
    hot = _spikes(np.random.default_rng(instrument.hot_seed), model, model.hot_share * mean, labels.shape)
    dots = []
    for channel, plane in enumerate(planes):
        rays = _spikes(rng, model, (1 - model.hot_share) * mean, labels.shape)
        for y, x, peak in np.concatenate([hot, rays]).tolist():
            place = int(y), int(x)
            plane[place] = min(int(plane[place]) + round(peak * scale), top)
            dots.append(Dot(int(labels[place]), channel, y, x, 0.0, peak, 0.0, "spike"))
    return dots


def _spikes(rng: np.random.Generator, model: SlideModel, mean: float, shape: tuple[int, ...]) -> Array:
    """Draw spikes: (n, 3) float64 of row, column and height, gv."""
    n = int(rng.poisson(mean))
    low, high = np.log(model.spike_gv)
    return np.stack([rng.integers(shape[0], size=n), rng.integers(shape[1], size=n), np.exp(rng.uniform(low, high, n))], axis=1)
