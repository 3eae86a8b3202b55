"""What the grey values of a plane tell of its way here: cut off at the top or at the bottom, in steps, wrapped below zero, smoothed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacapp.types import Array

CAMERA_TOPS = (255, 1023, 4095, 16383, 65535)
PILE_PAIRS = 4  # neighbours in a row that both have the largest value: one dot's top cut off gives more
PILE_RATIO = 3.0  # pixels with the largest value over those with the next lower one
SAMPLED_ROWS = 240
APART_PX = 3  # distance at which the noise of processed pictures is independent
LEFT_OVER = 0.1  # share of pixels at the lowest value, below which a gap above it is chance


@dataclass(frozen=True, slots=True)
class Steps:
    """Grey values of a plane's nuclei.

    Attributes:
        step: distance of neighbouring grey values that occur, the most frequent one; 257 where 8 bits were spread over 16.
        lowest: share of the pixels that have the lowest value.
        gap: distance of the lowest value to the next one that occurs, in steps; 1 where less than a tenth has the lowest.
    """

    step: float
    lowest: float
    gap: float


def camera_top(plane: Array) -> int:
    """Return the grey value at which the camera is full: 2^8, 2^10, 2^12, 2^14 or 2^16, less 1, if the brightest pixel has it."""
    largest = int(plane.max(initial=0))
    return largest if largest in CAMERA_TOPS else int(np.iinfo(plane.dtype).max)


def full_level(plane: Array) -> int:
    """Return the grey value of a full pixel: the plane's largest one where pixels pile up at it, at any level, else the camera's.

    They pile up where several neighbours have it, and far more pixels than the next lower value. Of light that was not cut off, the largest
    value is that of a single pixel.

    Args:
        plane: (Y, X) uint8 or uint16.
    """
    largest = int(plane.max(initial=0))
    at_top = plane == largest
    n_top = int(np.count_nonzero(at_top))
    if PILE_PAIRS <= n_top < plane.size and np.count_nonzero(at_top[:, 1:] & at_top[:, :-1]) >= PILE_PAIRS:
        below = plane[~at_top]
        if n_top > PILE_RATIO * np.count_nonzero(below == below.max()):
            return largest
    return camera_top(plane)


def steps_of(values: Array) -> Steps:
    """Measure the steps of grey values.

    Args:
        values: (N,) uint8 or uint16, of nuclei; NaN in every measure of no values.
    """
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) < 2:
        return Steps(float("nan"), 1.0 if len(levels) else float("nan"), 1.0)
    between = np.diff(levels.astype(np.int64))
    step = float(np.bincount(between).argmax())
    lowest = float(counts[0] / counts.sum())
    return Steps(step, lowest, float(between[0] / step) if lowest >= LEFT_OVER else 1.0)


def wrapped_share(plane: Array) -> float:
    """Return the share of neighbours in a row that differ by more than half the dtype's range: values below zero wrapped to its top."""
    some = plane[:: max(1, plane.shape[0] // SAMPLED_ROWS)].astype(np.int32)
    if some.shape[1] < 2:
        return 0.0
    return float(np.mean(np.abs(np.diff(some, axis=1)) > np.iinfo(plane.dtype).max // 2))


def noise_correlation(plane: Array) -> float:
    """Return how alike the noise of neighbouring pixels is: 0 for a camera's, towards 1 where the picture was smoothed or enlarged.

    One less the ratio of the squared second difference (-1, 2, -1) between neighbours to that between pixels ``APART_PX`` apart, medians
    over the darker half of a sample of rows, in which noise outweighs structure. NaN where most pixels equal those around them.

    Args:
        plane: (Y, X) uint8 or uint16.
    """
    some = plane[:: max(1, plane.shape[0] // SAMPLED_ROWS)].astype(np.float32)
    reach = 2 * APART_PX
    if some.shape[1] <= reach + 1:
        return float("nan")
    middle = some[:, APART_PX:-APART_PX]
    dark = middle <= np.median(middle)
    near = (2 * middle - some[:, APART_PX - 1 : -APART_PX - 1] - some[:, APART_PX + 1 : some.shape[1] - APART_PX + 1])[dark] ** 2
    far = (2 * middle - some[:, :-reach] - some[:, reach:])[dark] ** 2
    apart = float(np.median(far))
    return 1 - float(np.median(near)) / apart if apart > 0 else float("nan")
