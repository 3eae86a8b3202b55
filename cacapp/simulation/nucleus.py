"""Light of one nucleus: DAPI, cytoplasm, copies, non-specific dots, granules and debris on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cacapp.simulation.dots import Dot, DotKind, add_copy, out_of_focus
from cacapp.simulation.instrument import Instrument
from cacapp.simulation.layout import PlacedNucleus
from cacapp.simulation.model import SlideModel
from cacapp.simulation.optics import add_crop, add_spot, blur
from cacapp.simulation.texture import chromatin, smooth_noise
from cacapp.types import CHANNELS, PROBE_CHANNELS, Array


@dataclass(frozen=True, slots=True)
class NucleusState:
    """What a nucleus is beside its copies.

    Attributes:
        z_um: height of its middle above the focal plane of DAPI, µm.
        thickness_um: at its middle, µm; 0: flat.
        replicated: after S phase, each copy shows as two dots.
        granular: its cell has granular cytoplasm that glows in every channel.
    """

    z_um: float = 0.0
    thickness_um: float = 0.0
    replicated: bool = False
    granular: bool = False


def draw_state(rng: np.random.Generator, model: SlideModel) -> NucleusState:
    """Draw the state of a nucleus; parameters that are off take no random number."""
    return NucleusState(
        z_um=float(rng.normal(0, model.focus_sd_um)) if model.focus_sd_um else 0.0,
        thickness_um=float(rng.uniform(*model.thickness_um)) if model.thickness_um[1] else 0.0,
        replicated=bool(model.replicated_share and rng.random() < model.replicated_share),
        granular=bool(model.granular_share and rng.random() < model.granular_share),
    )


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What drawing one nucleus needs: its mask padded by ``pad`` px, whose corner lies at (top, left) of the frame."""

    rng: np.random.Generator
    model: SlideModel
    instrument: Instrument
    light: Array
    nucleus: PlacedNucleus
    state: NucleusState
    mask: Array
    top: int
    left: int
    defocus_px: float

    def heights_um(self, channel: int, yx: Array) -> Array:
        """Draw the distance of (n, 2) places from the focal plane of ``channel``, uniform within the nucleus' thickness there, µm."""
        base = self.state.z_um - self.instrument.focus_um[channel]
        if not self.state.thickness_um:
            return np.full(len(yx), base)
        depth = cv2.distanceTransform(self.mask.astype(np.uint8), cv2.DIST_L2, 5)
        rows, columns = np.clip(np.round(yx - [self.top, self.left]).astype(int), 0, np.array(self.mask.shape) - 1).T
        inside = np.clip(depth[rows, columns] / max(1.0, float(depth.max())), 0, 1)
        half = self.state.thickness_um / 2 * np.sqrt(1 - (1 - inside) ** 2)  # an ellipsoid's
        return np.asarray(base + half * self.rng.uniform(-1, 1, len(yx)))


def render_nucleus(
    rng: np.random.Generator, model: SlideModel, instrument: Instrument, light: Array, nucleus: PlacedNucleus
) -> tuple[NucleusState, list[Dot]]:
    """Add a nucleus to ``light`` ((5, Y, X) float32); return its state and its dots, in DAPI's coordinates."""
    state = draw_state(rng, model)
    sigma = model.px(rng.uniform(*model.defocus_um)) if rng.random() < model.defocus else 0.0
    wide_um = float(rng.uniform(*model.granular_um)) if state.granular else 0.0
    if model.cytoplasm_share and not state.granular and rng.random() < model.cytoplasm_share:
        wide_um = float(rng.uniform(*model.cytoplasm_um))
    pad = int(np.ceil(3 * sigma + model.px(2.0 + wide_um)))
    mask = np.pad(nucleus.mask, pad)
    top, left = nucleus.top_px - pad, nucleus.left_px - pad
    drawing = _Drawing(rng, model, instrument, light, nucleus, state, mask, top, left, sigma)
    _add_dapi(drawing, pad)
    cytoplasm = _cytoplasm(drawing)
    dots: list[Dot] = []
    for channel, positions in enumerate(nucleus.signals_yx, 1):
        if cytoplasm is not None:
            add_crop(light[channel], cytoplasm * np.float32(rng.uniform(0.25, 1) * model.autofluorescence_gv * 0.8), top, left)
        height = rng.uniform(*model.signal_gv) * float(instrument.brightness[channel])
        for (y, x), z in zip(positions, drawing.heights_um(channel, positions), strict=True):
            jittered = height * rng.lognormal(0, model.signal_jitter)
            peak, wide, form = add_copy(rng, model, light[channel], (float(y), float(x)), jittered, sigma, float(z), state.replicated)
            dots.append(Dot(nucleus.label, channel, float(y), float(x), float(z), peak, wide * model.pixel_size_um, "copy", form))
        if instrument.nonspecific[channel]:
            dots += _add_nonspecific(drawing, channel, height)
    if wide_um:
        dots += _add_wide_cytoplasm(drawing, wide_um)
    if model.debris_per_nucleus:
        dots += _add_debris(drawing)
    return state, dots


def _add_dapi(d: _Drawing, pad: int) -> None:
    model, rng = d.model, d.rng
    brightness = rng.uniform(*model.dapi_gv)
    texture = chromatin(rng, model, d.mask) if d.nucleus.texture is None else np.pad(d.nucleus.texture, pad)
    if model.dna_spread:
        # Integrated DAPI follows the DNA content: spread over more pixels, the same content is dimmer.
        content = float(np.mean(d.nucleus.copies or (2,))) / 2 * (rng.uniform(1.3, 2.0) if d.state.replicated else 1.0)
        usual_px = np.pi / 4 * model.px(model.diameter_um) ** 2
        brightness = float(np.mean(model.dapi_gv)) * content * rng.lognormal(0, model.dna_spread) * usual_px / max(1, int(d.mask.sum()))
    soft = float(np.hypot(d.defocus_px, model.px(model.border_um)))
    if (z_um := d.state.z_um - float(d.instrument.focus_um[0])) != 0:
        soft = float(np.hypot(soft, model.px(float(np.mean(model.signal_sigma_um))) * z_um / model.half_height_depth_um))
    add_crop(d.light[0], blur(texture * np.float32(brightness), soft), d.top, d.left)


def _cytoplasm(d: _Drawing) -> Array | None:
    """Return the light of ordinary cytoplasm: the mask widened by about a µm, with its own texture."""
    model, mask = d.model, d.mask
    if model.autofluorescence_gv <= 0:
        return None
    light = blur(mask.astype(np.float32), max(d.defocus_px, model.px(0.6)))
    light *= np.maximum(1 + 0.25 * smooth_noise(d.rng, mask.shape[0], mask.shape[1], model.px(1.5)), 0)
    light += 0.25 * blur(cv2.dilate(mask.astype(np.float32), np.ones((3, 3)), iterations=int(model.px(0.7))), model.px(0.4))
    return light


def _add_nonspecific(d: _Drawing, channel: int, height_gv: float) -> list[Dot]:
    """Add dots as wide as signals, anywhere in the nucleus' outline."""
    rng, model = d.rng, d.model
    yx = _places(d, int(rng.poisson(d.instrument.nonspecific[channel])))
    dots = []
    for (y, x), z in zip(yx, d.heights_um(channel, yx), strict=True):
        height, sigma = out_of_focus(
            model, height_gv * rng.uniform(*model.nonspecific_height), model.px(rng.uniform(*model.signal_sigma_um)), float(z)
        )
        dots.append(_add_dot(d, channel, (float(y), float(x)), height, sigma, float(z), "nonspecific"))
    return dots


def _add_wide_cytoplasm(d: _Drawing, wide_um: float) -> list[Dot]:
    """Add the light of wide cytoplasm, even in each probe channel; with granules where the cell is granular, in all channels."""
    rng, model = d.rng, d.model
    away = cv2.distanceTransform((~d.mask).astype(np.uint8), cv2.DIST_L2, 5)
    cell = away <= model.px(wide_um)
    texture = np.maximum(1 + 0.3 * smooth_noise(rng, cell.shape[0], cell.shape[1], model.px(1.2)), 0)
    even = blur(cell.astype(np.float32), model.px(0.3)) * texture
    degree = np.r_[0.1, rng.uniform(0.15, 1, len(PROBE_CHANNELS))]  # each channel in its own degree, DAPI little
    glow = rng.uniform(*(model.granular_glow_gv if d.state.granular else model.cytoplasm_gv))
    for channel in range(len(CHANNELS)):
        add_crop(d.light[channel], even * np.float32(glow * degree[channel]), d.top, d.left)
    if not d.state.granular:
        return []
    n = int(rng.poisson(model.granules_per_um2 * cell.sum() * model.pixel_size_um**2))
    yx = np.argwhere(cell)[rng.integers(int(cell.sum()), size=n)] + rng.uniform(-0.5, 0.5, (n, 2)) + [d.top, d.left]
    sigmas, heights = model.px(1.0) * rng.uniform(*model.granule_sigma_um, n), rng.uniform(*model.granule_gv, n)
    z = d.state.z_um - d.instrument.focus_um
    dots = []
    for (y, x), sigma, height in zip(yx, sigmas, heights, strict=True):
        for channel in range(len(CHANNELS)):
            seen = out_of_focus(model, float(height * degree[channel]), float(sigma), float(z[channel]))
            dots.append(_add_dot(d, channel, (float(y), float(x)), *seen, float(z[channel]), "granule"))
    return dots


def _add_debris(d: _Drawing) -> list[Dot]:
    """Add specks that lie on the nucleus and show in all channels."""
    rng, model = d.rng, d.model
    dots = []
    for y, x in _places(d, int(rng.poisson(model.debris_per_nucleus))):
        sigma, height = model.px(rng.uniform(*model.debris_sigma_um)), rng.uniform(*model.debris_gv)
        for channel, part in enumerate(rng.uniform(0.5, 1.0, len(CHANNELS))):
            dots.append(_add_dot(d, channel, (float(y), float(x)), float(height * part), sigma, 0.0, "debris"))
    return dots


def _places(d: _Drawing, n: int) -> Array:
    """Draw ``n`` places in the nucleus' outline: (n, 2) float64, px of the frame."""
    inside = np.argwhere(d.nucleus.mask)
    corner = [d.nucleus.top_px, d.nucleus.left_px]
    return np.asarray(inside[d.rng.integers(len(inside), size=n)] + d.rng.uniform(-0.5, 0.5, (n, 2)) + corner)


def _add_dot(d: _Drawing, channel: int, yx: tuple[float, float], height_gv: float, sigma_px: float, z_um: float, kind: DotKind) -> Dot:
    add_spot(d.light[channel], *yx, height_gv, sigma_px)
    return Dot(d.nucleus.label, channel, *yx, z_um, height_gv, sigma_px * d.model.pixel_size_um, kind)
