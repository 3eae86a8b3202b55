"""Labels that lie in several separate places of an image: several nuclei under one number."""

from __future__ import annotations

import cv2
import numpy as np

from cacapp.types import Array


def labels_in_several_places(labels: Array, piece: float) -> int:
    """Return how many labels have parts in places that only background connects, each of at least the share ``piece`` of its largest.

    A nucleus that another one on top of it divides is in one place.

    Args:
        labels: (Y, X) int32, 0 background, 1 to N.
    """
    count, places = cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=8)
    inside = labels > 0
    pairs, sizes = np.unique(labels[inside].astype(np.int64) * count + places[inside], return_counts=True)
    if not len(pairs):
        return 0
    label = pairs // count
    largest = np.zeros(int(label.max()) + 1, np.int64)
    np.maximum.at(largest, label, sizes)
    large = label[sizes >= piece * largest[label]]
    return int((np.bincount(large) > 1).sum())


def split_labels(labels: Array) -> Array:
    """Return (Y, X) int32 labels with a number of its own, from 1, for each 8-connected part of each label, in the labels' order."""
    from scipy.ndimage import find_objects

    result, last = np.zeros(labels.shape, np.int32), 0
    for number, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        count, parts = cv2.connectedComponents((labels[box] == number).astype(np.uint8), connectivity=8)
        result[box][parts > 0] = parts[parts > 0] + last
        last += count - 1
    return result
