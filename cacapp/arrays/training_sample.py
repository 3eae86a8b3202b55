"""Labelled nuclei and background in place of rejected ones: a plane to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cacapp.arrays.inpaint import filled, unfillable
from cacapp.types import UNKNOWN, Array, Instance, TrainingSample, label_image


def seed_of(sha256: str, seed: int) -> int:
    """The seed of a frame's own filling, by its digest: a frame looks the same whichever others are read with it."""
    return int.from_bytes(bytes.fromhex(sha256)[:7], "big") ^ abs(seed)


def training_sample(
    dapi: Array, accepted: Sequence[Instance], rejected: Sequence[Instance], pixel_size_um: float | None, seed: int
) -> TrainingSample:
    """A (Y, X) plane with its rejected nuclei filled with background, and the labels 1..N of the accepted ones."""
    height, width = dapi.shape
    labels = label_image(accepted, height, width)
    gone = label_image(rejected, height, width) > 0
    labels[unfillable(gone, labels > 0)] = UNKNOWN
    return TrainingSample(np.ascontiguousarray(filled(dapi, gone, labels > 0, seed)), labels, pixel_size_um)
