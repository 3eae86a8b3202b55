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


def encode_in_frame(mask: Array, bbox_xywh: tuple[int, int, int, int], height_px: int, width_px: int) -> bytes:
    """The ``counts`` of a frame of (height_px, width_px) in which only the crop at ``bbox_xywh`` holds ``mask``; no such frame is made.

    Args:
        mask: (h, w) bool, the box's shape, at least one pixel set; the box lies inside the frame.
    """
    x, y, w, h = bbox_xywh
    if mask.shape != (h, w) or x < 0 or y < 0 or x + w > width_px or y + h > height_px:
        raise ValueError(f"a mask of shape {mask.shape} at {bbox_xywh} does not fit a frame of {height_px} x {width_px} px")
    # A blank row above and below each column: every run starts and ends inside its column.
    columns = np.zeros((w, h + 2), np.int8)
    columns[:, 1:-1] = mask.T
    steps = np.diff(columns, axis=1)
    starts_at, ends_at = np.nonzero(steps == 1), np.nonzero(steps == -1)
    starts, ends = ((x + column) * height_px + y + row for column, row in (starts_at, ends_at))
    # Where a run reaches the frame's last row and the next one starts in the first, they are one.
    joined = starts[1:] == ends[:-1]
    starts, ends = starts[np.r_[True, ~joined]], ends[np.r_[~joined, True]]
    edges = np.stack([starts, ends], axis=1).ravel()
    rest = [height_px * width_px] if ends[-1] < height_px * width_px else []
    runs = np.diff(np.r_[0, edges, rest].astype(np.int64))
    counts: bytes = coco.frPyObjects({"size": [height_px, width_px], "counts": runs.tolist()}, height_px, width_px)["counts"]
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
