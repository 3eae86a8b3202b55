"""Training targets of the network from labels."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from cacapp.types import UNKNOWN, Array

SMALLEST_PX = 3
"""A nucleus cut by a crop to less than this along a side is not a training target."""

FEWEST_PX = 20


def target_of(labels: Array) -> dict[str, Tensor]:
    """Return the training target of an image at working scale.

    Args:
        labels: (Y, X) int, 0 background, 1 and up nuclei, UNKNOWN (-1).

    Returns:
        boxes (N, 4) float32 xyxy px, labels (N,) int64 of ones, masks (N, Y, X) uint8, unknown (Y, X) bool.
    """
    boxes, masks = [], []
    unknown = labels == UNKNOWN
    for value, place in enumerate(ndimage.find_objects(np.where(labels > 0, labels, 0).astype(np.int32)), start=1):
        if place is None:
            continue
        own = labels[place] == value
        if min(own.shape) < SMALLEST_PX or np.count_nonzero(own) < FEWEST_PX:
            unknown[place] |= own
            continue
        mask = np.zeros(labels.shape, np.uint8)
        mask[place] = own
        boxes.append([place[1].start, place[0].start, place[1].stop, place[0].stop])
        masks.append(mask)
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.ones(len(boxes), dtype=torch.int64),
        "masks": torch.from_numpy(np.stack(masks) if masks else np.zeros((0, *labels.shape), np.uint8)),
        "unknown": torch.from_numpy(unknown),
    }
