"""What stays the same over all frames of a slide: geometry, focus, brightness and background of each channel, and the treatment."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np

from cacapp.simulation.model import SlideModel
from cacapp.simulation.troubles import Treatment
from cacapp.types import CHANNELS, Array


@dataclass(frozen=True, slots=True)
class Instrument:
    """Drawn once for a slide; arrays have one value a channel, in CHANNELS order.

    Attributes:
        scale: magnification against DAPI's.
        shift_yx: (5, 2) displacement of the frame's centre against DAPI, px.
        focus_um: height of the channel's focal plane, µm.
        blur_um: standard deviation of the microscope's blur, µm.
        brightness: factor on the signals.
        centre_yx: (5, 2) brightest place of the illumination, share of half the frame from its centre.
        gradient_yx: (5, 2) rise of the background from edge to edge, share of the background.
        nonspecific: mean number of non-specific dots of a nucleus.
        spikes_per_mpx: single bright pixels per million.
        hot_seed: of the camera's hot pixels.
        treatment: what is done to the slide's pictures.
    """

    scale: Array
    shift_yx: Array
    focus_um: Array
    blur_um: float
    brightness: Array
    centre_yx: Array
    gradient_yx: Array
    nonspecific: Array
    spikes_per_mpx: float
    hot_seed: int
    treatment: Treatment

    @property
    def moves(self) -> bool:
        """Whether any channel lies elsewhere than DAPI."""
        return bool((self.scale != 1).any() or self.shift_yx.any())

    def refocused(self, height_um: float) -> Instrument:
        """Return it with all focal planes ``height_um`` higher."""
        return replace(self, focus_um=self.focus_um + height_um) if height_um else self

    def record(self) -> dict[str, Any]:
        """Return its values as JSON: lists in CHANNELS order."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(self).items()}

    def place(self, channel: int, yx: Array, height_px: int, width_px: int) -> Array:
        """Return where (n, 2) places of DAPI lie in ``channel``, px."""
        middle = np.array([height_px - 1, width_px - 1]) / 2
        return np.asarray((np.asarray(yx, float) - middle) * self.scale[channel] + middle + self.shift_yx[channel])

    def warp(self, channel: int, plane: Array) -> Array:
        """Return the light of ``channel`` as its own optics place it: (Y, X) float32 in and out."""
        height, width = plane.shape
        origin = self.place(channel, np.zeros((1, 2)), height, width)[0]
        matrix = np.array([[self.scale[channel], 0, origin[1]], [0, self.scale[channel], origin[0]]])
        return np.asarray(
            cv2.warpAffine(plane, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), np.float32
        )


def draw_instrument(rng: np.random.Generator, model: SlideModel) -> Instrument:
    """Draw the instrument of a slide. A model without troubles needs no random number: scale 1, no shift, brightness 1."""
    n = len(CHANNELS)
    probes = np.arange(n) > 0  # DAPI is the reference

    def spread(limit: float, *shape: int) -> Array:
        return rng.uniform(-limit, limit, (n, *shape)) if limit else np.zeros((n, *shape))

    def factor(limits: tuple[float, float], off: float, size: int) -> Array:
        if limits == (off, off):
            return np.full(size, off)
        return np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), size))

    return Instrument(
        scale=1 + spread(model.magnification_spread) * probes,
        shift_yx=model.px(1.0) * spread(model.shift_um, 2) * probes[:, None],
        focus_um=spread(model.channel_focus_um),
        blur_um=float(np.hypot(model.blur_um, rng.uniform(*model.slide_blur_um))) if model.slide_blur_um[1] else model.blur_um,
        brightness=factor(model.dye_brightness, 1.0, n),
        centre_yx=spread(model.shading_offset, 2),
        gradient_yx=spread(model.background_gradient, 2),
        nonspecific=factor(model.nonspecific, 0.0, n),
        spikes_per_mpx=float(factor(model.spikes_per_mpx, 0.0, 1)[0]),
        hot_seed=int(rng.integers(2**31)) if model.spikes_per_mpx[1] else 0,
        treatment=model.treatments[int(rng.integers(len(model.treatments))) if len(model.treatments) > 1 else 0],
    )
