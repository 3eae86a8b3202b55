"""Noise of pixels many of which have one value: clipped at zero, or stored in coarse steps."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from cacapp.types import Array

TIED_SHARE = 0.3
"""Pixels at one value from which the median absolute deviation tells nothing; a noise of one step has 0.38, of two steps 0.2."""
FEW = 12  # pixels beyond the common value, for an estimate of a nucleus' own
TAIL_SHARE = 0.4  # of the pixels beyond the common value, that are also beyond the second level
NEAR_SHARE = 0.95  # of the pixels, in a root mean square: what is left of dots is among the others


def tied(values: Array) -> tuple[Array, Array]:
    """Return the value that most pixels of each place have, (N,), and the share, (N,), that has it.

    Args:
        values: (N, K) grey values, of N places.
    """
    ordered = np.sort(values, axis=1)
    n, k = ordered.shape
    starts = np.ones((n, k), bool)
    starts[:, 1:] = np.diff(ordered, axis=1) != 0
    flat = np.flatnonzero(starts.ravel())
    length = np.diff(flat, append=n * k)
    row = flat // max(k, 1)
    longest = np.zeros(n, np.int64)
    np.maximum.at(longest, row, length)
    first = np.flatnonzero(length == longest[row])
    mode = np.zeros(n, ordered.dtype)
    mode[row[first][::-1]] = ordered.ravel()[flat[first][::-1]]  # the lowest of equal ones
    return mode, longest / max(k, 1)


def tied_sd(values: Array, free: Array) -> Array:
    """Return the standard deviation of the noise under ties, (N,) grey values; 0 for places without ties.

    Of normal noise of which the share p lies beyond a level a and q beyond a higher one b, the standard deviation is
    (b - a) / (z(q) - z(p)), z being the normal distribution's upper quantile. For values clipped at one end a is the upper edge of the tied
    value and b lies in the middle of what is beyond it; where values lie on both sides, a and b are the edges of the tied value. It is
    at least that of rounding, a step over the root of 12, and the root mean square of the nearest ``NEAR_SHARE`` of the values. A place
    with fewer than ``FEW`` pixels beyond takes the median of the others, and where most are so, that of all pixels together.

    Args:
        values: (N, K) grey values, of N places. free: (N, K) bool, pixels that are noise alone.
    """
    mode, share = tied(values)
    result = np.zeros(len(values))
    bound = np.flatnonzero(share >= TIED_SHARE)
    if not len(bound):
        return result
    own = np.array([_sd(values[n][free[n]] - mode[n]) for n in bound.tolist()])
    known = np.isfinite(own)
    if 2 * np.count_nonzero(known) >= len(known):
        result[bound] = np.where(known, own, np.median(own[known]))
        return result
    offsets = values[bound] - mode[bound, None]
    together, apart = _sd(offsets[free[bound]]), np.abs(offsets[offsets != 0])
    result[bound] = together if np.isfinite(together) else apart.min() / np.sqrt(12) if len(apart) else 0.0
    return result


def _sd(offsets: Array) -> float:
    """Return the standard deviation of noise of which the tied value is 0; NaN with fewer than ``FEW`` values beyond it."""
    n, above, below = len(offsets), np.sort(offsets[offsets > 0]), offsets[offsets < 0]
    if len(above) < FEW:
        return float("nan")
    levels, starts = np.unique(above, return_index=True)
    near = np.sort(np.abs(offsets))[: int(NEAR_SHARE * n)]
    rounding = max(float(levels[0] / np.sqrt(12)), float(np.sqrt(np.mean(near**2))))
    beyond = len(above) / n
    if len(below) >= FEW:
        span = -float(ndtri(beyond) + ndtri(len(below) / n))
        return max(float(levels[0] - below.max()) / 2 / span, rounding) if span > 0 else rounding
    left = len(above) - starts[1:]  # pixels beyond each level but the last
    enough = np.flatnonzero(left <= TAIL_SHARE * len(above))
    if not len(enough) or left[enough[0]] < 2:
        return max(float(levels[0] * np.sqrt(beyond * (1 - min(beyond, 0.5)))), rounding)
    at = int(enough[0])
    low, high = levels[0] / 2, (levels[at] + levels[at + 1]) / 2
    return max(float((high - low) / (ndtri(beyond) - ndtri(left[at] / n))), rounding)
