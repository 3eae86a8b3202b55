"""Training samples: accepted nuclei as labels, rejected ones replaced by background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cacapp.arrays.inpaint import inpaint_background, without_background
from cacapp.types import UNKNOWN, Array, Instance, TrainingSample, label_image


def seed_of(sha256: str, seed: int) -> int:
    """Return the seed of a frame's inpainting, from its digest: it does not depend on the other frames."""
    return int.from_bytes(bytes.fromhex(sha256)[:7], "big") ^ abs(seed)


def training_sample(
    dapi: Array, accepted: Sequence[Instance], rejected: Sequence[Instance], pixel_size_um: float | None, seed: int
) -> TrainingSample:
    """Return a (Y, X) plane with background in place of rejected nuclei, and the labels 1..N of the accepted ones."""
    height, width = dapi.shape
    labels = label_image(accepted, height, width)
    gone = label_image(rejected, height, width) > 0
    labels[without_background(gone, labels > 0)] = UNKNOWN
    return TrainingSample(np.ascontiguousarray(inpaint_background(dapi, gone, labels > 0, seed)), labels, pixel_size_um)
