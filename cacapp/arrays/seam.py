"""Seams in a nucleus' DAPI: straight lines across which the light steps or along which it dips, as where two nuclei touch or overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacapp.types import Array, Instance

ANGLES = 16
MIN_SIDE = 0.15  # of the area, on either side of a seam
SAMPLE_PIXELS = 2500  # of a nucleus, evenly taken
INNER_PX, OUTER_PX = 2, 5  # what is compared on either side of a line, px from it


@dataclass(frozen=True, slots=True)
class Seams:
    """K lines through a nucleus: the points with x cos(angle) + y sin(angle) = offset, frame px.

    Attributes:
        angle, offset_px: (K,) float64.
        strength: (K,) float64, step or dip of the mean light across the line, share of the nucleus' mean light above the background.
    """

    angle: Array
    offset_px: Array
    strength: Array

    def strongest(self) -> float:
        """The largest strength, 0 without lines."""
        return float(self.strength.max(initial=0.0))

    def side(self, yx: Array) -> Array:
        """(K, N) bool: which of N points (y, x) lie beyond each line."""
        place = yx[None, :, 1] * np.cos(self.angle)[:, None] + yx[None, :, 0] * np.sin(self.angle)[:, None]
        return np.asarray(place > self.offset_px[:, None])


def seams(dapi: Array, nucleus: Instance, background: float) -> Seams:
    """Lines in ``ANGLES`` directions, a pixel apart, with at least ``MIN_SIDE`` of the nucleus on either side.

    The light is averaged along each line inside the mask, so that texture averages out and an edge as long as the nucleus is wide does not.

    Args:
        dapi: (Y, X) of any numeric dtype.
        background: grey value without a nucleus.
    """
    x, y, w, h = nucleus.bbox_xywh
    rows, cols = np.nonzero(nucleus.mask)
    step = max(1, len(rows) // SAMPLE_PIXELS)
    rows, cols = rows[::step], cols[::step]
    light = dapi[y : y + h, x : x + w][rows, cols].astype(np.float64) - background
    mean = max(float(light.mean()), 1e-9)
    found = []
    for angle in np.arange(ANGLES) * (np.pi / ANGLES):
        place = (cols + x) * np.cos(angle) + (rows + y) * np.sin(angle)
        first = int(np.floor(place.min()))
        at = np.rint(place).astype(np.int64) - first
        area = np.bincount(at).astype(float)
        along = np.bincount(at, weights=light) / np.maximum(area, 1)
        share = np.cumsum(area) / area.sum()
        inner = np.flatnonzero((share >= MIN_SIDE) & (share <= 1 - MIN_SIDE))
        inner = inner[(inner >= OUTER_PX) & (inner < len(area) - OUTER_PX)]
        if not len(inner):
            continue
        beyond = np.mean([along[inner + k] for k in range(INNER_PX, OUTER_PX + 1)], axis=0)
        before = np.mean([along[inner - k] for k in range(INNER_PX, OUTER_PX + 1)], axis=0)
        on = np.mean([along[inner + k] for k in (-1, 0, 1)], axis=0)
        dip = np.maximum(np.minimum(beyond, before) - on, on - np.maximum(beyond, before))
        strength = np.maximum(np.abs(beyond - before), 2 * dip) / mean
        found.append(np.stack([np.full(len(inner), angle), inner + first + 0.0, strength]))
    table = np.concatenate(found, axis=1) if found else np.zeros((3, 0))
    return Seams(table[0], table[1], table[2])
