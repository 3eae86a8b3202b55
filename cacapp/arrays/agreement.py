"""Which of two sets of masks show the same nuclei."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cacapp.arrays.overlap import intersections
from cacapp.types import Array, Instance

SAME_NUCLEUS_IOU = 0.5


def found_again(nuclei: Sequence[Instance], others: Sequence[Instance], iou: float = SAME_NUCLEUS_IOU) -> Array:
    """(N,) bool: the nuclei that one of the other masks matches with at least the given IoU = |P∩G|/|P∪G|.

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
