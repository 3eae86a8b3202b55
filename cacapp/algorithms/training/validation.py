"""How well a network in training does on validation crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cacapp.arrays.metrics import match
from cacapp.types import UNKNOWN, Array, Instance

SHARE_UNKNOWN = 0.5
"""What is found is not judged where more of it than this is unknown."""


def average_precision(found: Sequence[Instance], labels: Array) -> float:
    """AP@0.5 of the instances found in an image against its (Y, X) labels; UNKNOWN ones are neither right nor wrong."""
    return match(np.where(labels > 0, labels, 0).astype(np.int32), judged(found, labels)).average_precision(0.5)


def judged(found: Sequence[Instance], labels: Array) -> list[Instance]:
    """Those of the found instances that labels have a word about: not the ones that are mostly UNKNOWN."""
    kept = []
    for one in found:
        x, y, w, h = one.bbox_xywh
        if np.mean(labels[y : y + h, x : x + w][one.mask] == UNKNOWN) <= SHARE_UNKNOWN:
            kept.append(one)
    return kept
