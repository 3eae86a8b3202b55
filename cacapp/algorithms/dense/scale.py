"""Typical nuclear size of a frame, measured with the network: at the right scale it finds many nuclei of that size with high scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cacapp.algorithms.prompting import working_plane
from cacapp.arrays.shapes import typical_diameter
from cacapp.types import Array

NEAR = 1.2
"""Tolerance of a size, as a factor."""

ROUNDS = 3
LOOK = 24
"""Sides of the evaluated part, in diameters: several hundred nuclei at high density."""

SMALLEST_PX, GUESS_PX, OCTAVE_PX = 5.0, 24.0, 10.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """Nuclei that the network finds at one scale: diameters (N,) px of the frame, scores (N,)."""

    diameters_px: Array
    scores: Array

    @property
    def median_px(self) -> float:
        """Return the typical diameter, px; 0 if there are no nuclei."""
        return typical_diameter(np.pi / 4 * self.diameters_px**2)


def find_scale(dapi: Array, look: Callable[[Array, float], Candidate]) -> float:
    """Return the typical diameter of a nucleus, px; 0 if no scale shows a nucleus.

    The first estimate comes from thresholds and is corrected with the nuclei that the network finds at this scale. If it finds none of
    about this size (glow, a confluent sheet), all octaves are tried, and the one with the most nuclei of its own size is taken.
    """
    plane = working_plane(dapi, 36.0)
    guess = plane.diameter_px * plane.zoom or GUESS_PX
    tried: dict[float, Candidate] = {}
    size = guess
    for _ in range(ROUNDS):
        size = float(np.clip(size, SMALLEST_PX, max(dapi.shape)))
        found = tried[size] = look(_part(dapi, size), size)
        median = found.median_px
        if not median:
            break
        if 1 / NEAR < median / size < NEAR:
            return median
        size = median
    octaves = OCTAVE_PX * 2.0 ** np.arange(1 + max(0, int(np.log2(max(dapi.shape) / 3 / OCTAVE_PX))))
    for size in octaves.tolist():
        tried[size] = look(_part(dapi, size), size)
    best = max(tried, key=lambda s: _own(tried[s], s))
    return best if len(tried[best].scores) else 0.0


def _own(found: Candidate, size_px: float) -> float:
    """Count the nuclei of about this size, weighted with their scores."""
    near = np.abs(np.log(found.diameters_px / size_px)) < np.log(1.6)
    return float(found.scores[near].sum())


def _part(dapi: Array, size_px: float) -> Array:
    """Return the central part of the frame, at most LOOK diameters along each side."""
    side = round(LOOK * size_px)
    top, left = (max(0, (n - side) // 2) for n in dapi.shape)
    return dapi[top : top + side, left : left + side]
