"""Masks as compressed COCO run-length codes.

Format: column-major (Fortran order) run lengths, starting with background, each written as the difference to the last but one in
6-bit characters; see https://github.com/cocodataset/cocoapi (common/maskApi.c).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from cacapp.exceptions import CacappError
from cacapp.types import Array


def encode(mask: Array) -> bytes:
    """Encode a (h, w) bool mask, h and w at least 1, as ``counts``."""
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
    """Decode ``counts`` to a (height_px, width_px) bool mask.

    Raises:
        CacappError: the runs do not add up to height x width: the row was damaged.
    """
    return decode_all([counts], [(height_px, width_px)])[0]


def decode_all(masks: Sequence[bytes], shapes: Sequence[tuple[int, int]]) -> list[Array]:
    """Decode as ``decode``, for N masks of ``shapes`` (height, width) in px: many times as fast as one by one."""
    bad = damaged(masks, np.array([height * width for height, width in shapes], np.int64))
    if bad.any():
        height_px, width_px = shapes[int(bad.argmax())]
        raise CacappError(f"a stored mask of {height_px} x {width_px} px is damaged; check the database with `cacapp db check`")
    decoded = (coco.decode({"size": [*shape], "counts": counts}) for counts, shape in zip(masks, shapes, strict=True))
    return [np.ascontiguousarray(mask).astype(bool) for mask in decoded]


def run_lengths(counts: bytes) -> list[int]:
    """Return the runs of ``counts`` in px, background first; [-1] where they are damaged, which the library does not check."""
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


def damaged(masks: Sequence[bytes], pixels: Array) -> Array:
    """Return which of N ``counts`` do not decode; as ``run_lengths``, for many at once.

    Args:
        pixels: (N,) height x width of each, px.

    Returns:
        (N,) bool.
    """
    sizes = np.array([len(mask) for mask in masks], np.int64)
    bad: Array = sizes == 0
    if bad.all():
        return bad
    owner = np.repeat(np.arange(len(masks), dtype=np.int32), sizes)
    codes = np.frombuffer(b"".join(masks), np.uint8) - np.uint8(48)  # below 48 wraps to above 63
    last = codes & 0x20 == 0
    stops = np.cumsum(sizes)[~bad] - 1
    bad[owner[codes >= 64]] = True
    bad[owner[stops[~last[stops]]]] = True
    last[stops] = True  # a mask that breaks off must not run on into the next one
    ends = np.flatnonzero(last)
    starts = np.r_[0, ends[:-1] + 1]
    long = ends - starts
    mask_of = owner[starts]
    bad[mask_of[long > 10]] = True
    value = (codes[starts] & 0x1F).astype(np.int64)
    for place in range(1, min(int(long.max()), 10) + 1):  # most runs are one or two characters
        some = np.flatnonzero(long >= place)
        value[some] |= (codes[starts[some] + place] & 0x1F).astype(np.int64) << (5 * place)
    value -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * (np.minimum(long, 10) + 1)), 0)
    pixels = np.asarray(pixels, np.int64)
    huge = np.abs(value) > pixels[mask_of]  # no run, and no difference of two, is longer than the mask; sums of such numbers could wrap
    bad[mask_of[huge]], value[huge] = True, 0
    number = np.arange(len(mask_of)) - np.searchsorted(mask_of, mask_of)
    for chain in (number % 2 == 1, (number % 2 == 0) & (number > 0)):  # from the fourth on, a run is a difference to the last but one
        total = np.cumsum(value[chain])
        first = np.searchsorted(mask_of[chain], mask_of[chain])
        value[chain] = total - np.where(first > 0, total[first - 1], 0)
    bad[mask_of[value < 0]] = True
    bad[sizes > 0] |= np.add.reduceat(value, np.flatnonzero(number == 0)) != pixels[sizes > 0]
    return bad
