"""Seams in a nucleus' DAPI: straight lines where the light steps or dips, as it does where two nuclei touch or overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacapp.types import Array, Instance

ANGLES = 16
MIN_SIDE = 0.15  # of the area, on either side of a seam
SAMPLE_PIXELS = 2500  # of a nucleus, evenly taken
INNER_PX, OUTER_PX = 2, 5  # the light from 2 to 5 px on either side of a line is compared; for about 0.1 µm a pixel


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
        """Return the largest strength, 0 without lines."""
        return float(self.strength.max(initial=0.0))

    def side(self, yx: Array) -> Array:
        """Return (K, N) bool: which of N points (y, x) lie beyond each line."""
        place = yx[None, :, 1] * np.cos(self.angle)[:, None] + yx[None, :, 0] * np.sin(self.angle)[:, None]
        return np.asarray(place > self.offset_px[:, None])


def seams(dapi: Array, nucleus: Instance, background: float) -> Seams:
    """Return lines in ``ANGLES`` directions, a pixel apart, with at least ``MIN_SIDE`` of the nucleus on either side.

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
    angle = np.arange(ANGLES) * (np.pi / ANGLES)
    place = np.outer(np.cos(angle), cols + x) + np.outer(np.sin(angle), rows + y)
    first = np.floor(place.min(axis=1)).astype(np.int64)
    at = np.rint(place).astype(np.int64) - first[:, None]
    length = int(at.max()) + 1
    at += length * np.arange(ANGLES)[:, None]
    area = np.bincount(at.ravel(), minlength=ANGLES * length).reshape(ANGLES, length)
    along = np.bincount(at.ravel(), weights=np.tile(light, ANGLES), minlength=ANGLES * length).reshape(ANGLES, length) / np.maximum(area, 1)
    share = np.cumsum(area, axis=1) / len(rows)
    inner = (share >= MIN_SIDE) & (share <= 1 - MIN_SIDE)
    inner[:, :OUTER_PX] = False
    on_line = np.count_nonzero(np.cumsum(area[:, ::-1], axis=1) > 0, axis=1)  # up to the last line with a pixel of the nucleus
    inner &= np.arange(length) < on_line[:, None] - OUTER_PX
    which, line = np.nonzero(inner)
    total = np.concatenate([np.zeros((ANGLES, 1)), np.cumsum(along, axis=1)], axis=1)

    def mean(start: int, stop: int) -> Array:
        """Return the mean light of the lines from ``start`` to ``stop`` px off each."""
        return np.asarray((total[which, line + stop + 1] - total[which, line + start]) / (stop - start + 1))

    beyond, before, on = mean(INNER_PX, OUTER_PX), mean(-OUTER_PX, -INNER_PX), mean(-1, 1)
    dip = np.maximum(np.minimum(beyond, before) - on, on - np.maximum(beyond, before))
    strength = np.maximum(np.abs(beyond - before), 2 * dip) / max(float(light.mean()), 1e-9)
    return Seams(angle[which], (line + first[which]).astype(float), strength)
