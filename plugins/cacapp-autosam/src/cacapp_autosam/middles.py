"""Centres of nuclei on the grid of cells: training targets and detection."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from cacapp.types import UNKNOWN, Array
from cacapp_autosam.network import STRIDE

SPREAD = 0.9
"""Width of the peak at a nuclear centre, cells."""

FEWEST_PX = 20
"""A nucleus cut by a crop to fewer pixels is not a training target."""


def middles_of(probability: Array, least: float) -> Array:
    """Return (N, 2) int64 cells (y, x): maxima of at least ``least`` of a (h, w) map, interpolated between cells to separate neighbours."""
    fine = cv2.resize(probability, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    summit = (fine >= least) & (fine >= cv2.dilate(fine, np.ones((5, 5), np.uint8)))
    count, _, _, centres = cv2.connectedComponentsWithStats(summit.astype(np.uint8))
    if count < 2:
        return np.zeros((0, 2), np.int64)
    cells = np.floor((centres[1:, ::-1] + 0.5) / 2).astype(np.int64)
    return np.asarray(np.clip(cells, 0, np.array(probability.shape) - 1))


def target_of(labels: Array) -> tuple[Array, Array, Array, Array]:
    """Return the training targets of an image.

    Args:
        labels: (Y, X) int, 0 background, 1 and up nuclei, UNKNOWN (-1); sides multiples of 8.

    Returns:
        Peaks (Y/8, X/8) float32 in 0..1, one at the centre of each nucleus; known cells, (Y/8, X/8) float32; the labels of nuclei (N,)
        and the cells (N, 2) int64 (y, x) of their centres.
    """
    known = (labels != UNKNOWN).reshape(labels.shape[0] // STRIDE, STRIDE, -1, STRIDE).mean((1, 3)) > 0.5
    values = [int(v) for v, n in zip(*np.unique(labels, return_counts=True), strict=True) if v > 0 and n >= FEWEST_PX]
    centres = np.array(ndimage.center_of_mass(np.ones_like(labels), labels, values)).reshape(-1, 2)
    rows, columns = np.mgrid[: known.shape[0], : known.shape[1]]
    summits = np.zeros(known.shape, np.float32)
    for y, x in (centres + 0.5) / STRIDE - 0.5:
        np.maximum(summits, np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * SPREAD**2)), out=summits)
    cells = np.clip(np.floor((centres + 0.5) / STRIDE).astype(np.int64), 0, np.array(known.shape) - 1)
    return summits, known.astype(np.float32), np.array(values, np.int64), cells
