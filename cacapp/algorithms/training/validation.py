"""Score of a network on validation crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cacapp.arrays.metrics import match
from cacapp.types import UNKNOWN, Array, Instance

SHARE_UNKNOWN = 0.5
"""Found instances with a larger unknown share are ignored."""


def average_precision(found: Sequence[Instance], labels: Array) -> float:
    """Return AP@0.5 of the instances found in an image against its (Y, X) labels; those on UNKNOWN labels are ignored."""
    return match(np.where(labels > 0, labels, 0).astype(np.int32), judged(found, labels)).average_precision(0.5)


def judged(found: Sequence[Instance], labels: Array) -> list[Instance]:
    """Return the found instances without those that lie mostly on UNKNOWN labels."""
    kept = []
    for one in found:
        x, y, w, h = one.bbox_xywh
        if np.mean(labels[y : y + h, x : x + w][one.mask] == UNKNOWN) <= SHARE_UNKNOWN:
            kept.append(one)
    return kept
