"""Masks as compressed COCO run-length codes.

Format: column-major (Fortran order) run lengths, starting with background, each written as the difference to the last but one in
6-bit characters; see https://github.com/cocodataset/cocoapi (common/maskApi.c).
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from cacapp.errors import CacappError
from cacapp.types import Array


def encode(mask: Array) -> bytes:
    """The ``counts`` of a (h, w) bool mask, h and w at least 1."""
    if mask.ndim != 2 or 0 in mask.shape:
        raise ValueError(f"a mask has two axes and at least one pixel, not shape {mask.shape}")
    counts: bytes = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return counts


def decode(counts: bytes, height_px: int, width_px: int) -> Array:
    """The (height_px, width_px) bool mask of ``counts``.

    Raises:
        CacappError: the runs do not add up to height x width: the row was damaged.
    """
    if sum(run_lengths(counts)) != height_px * width_px:
        raise CacappError(f"a stored mask of {height_px} x {width_px} px is damaged; check the database with `cacapp db check`")
    mask: Array = coco.decode({"size": [height_px, width_px], "counts": counts})
    return np.ascontiguousarray(mask).astype(bool)


def run_lengths(counts: bytes) -> list[int]:
    """The runs of ``counts`` in px, background first; [-1] where they are damaged. The library trusts its input with memory, we do not."""
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        code = byte - 48
        if not 0 <= code < 64 or shift > 50:
            return [-1]
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            return [-1]
        runs.append(value)
        value = shift = 0
    return runs if shift == 0 else [-1]
