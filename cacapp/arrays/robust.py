"""Spread of values that outliers do not change: the median absolute deviation."""

from __future__ import annotations

import numpy as np

from cacapp.types import Array

MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation: 1 / Φ⁻¹(3/4) (Hampel 1974,
doi:10.1080/01621459.1974.10482962)."""


def robust_sd(values: Array, center: float | Array | None = None) -> float:
    """Return the robust standard deviation, 1.4826 · median(|x − center|), in the unit of the values; NaN of no values.

    Args:
        values: of any shape and numeric dtype; signed or floating where ``center`` may exceed a value.
        center: what the deviations are taken from; None: the values' median.

    >>> robust_sd(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    1.4826
    """
    center = np.median(values) if center is None else center
    return MAD_TO_SD * float(np.median(np.abs(values - center)))
