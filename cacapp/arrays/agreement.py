"""Nuclei that two sets of masks have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cacapp.arrays.overlap import intersections
from cacapp.types import Array, Instance

SAME_NUCLEUS_IOU = 0.5


def has_match(nuclei: Sequence[Instance], others: Sequence[Instance], iou: float = SAME_NUCLEUS_IOU) -> Array:
    """Return for N nuclei, (N,) bool, whether one of the other masks has at least the given IoU = |P∩G|/|P∪G|.

    Args:
        nuclei: N instances, which may overlap.
        others: instances of the same frame, in any order.
    """
    n = len(nuclei)
    both = [*nuclei, *others]
    area = np.array([np.count_nonzero(i.mask) for i in both], np.int64)
    found = np.zeros(n, bool)
    for i, j, shared in intersections(both):
        if i < n <= j and shared >= iou * (area[i] + area[j] - shared):
            found[i] = True
    return found
