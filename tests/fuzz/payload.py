"""Which bytes of an image file are pixels, so that a changed one gives another image that is just as valid."""

from __future__ import annotations

import io

import numpy as np
import tifffile


def ranges(name: str, raw: bytes) -> list[tuple[int, int]]:
    """[start, end) of the pixels' bytes in an undamaged file."""
    if name.endswith((".tif", ".tiff")):
        with tifffile.TiffFile(io.BytesIO(raw)) as tiff:
            if not tiff.is_ome and tiff.series[0].dataoffset is not None:
                return [(s.dataoffset, s.dataoffset + s.nbytes) for s in tiff.series if s.dataoffset is not None]
            return [(o, o + n) for page in tiff.pages for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if name.endswith(".jpg"):
        tables, frame = raw.index(b"\xff\xdb"), raw.index(b"\xff\xc0")
        return [(tables, frame), (frame + 13, len(raw) - 2)]  # what the numbers stand for, and the numbers
    if "/0/" in name and not name.endswith((".zarray", ".zattrs", "zarr.json")):
        return [(0, len(raw))]
    return []


def only_pixels(name: str, before: bytes, after: bytes) -> bool:
    """Whether all that differs lies within the pixels of one plane's strip (for bytes put in or cut out: begins and ends there)."""
    spans = ranges(name, before)
    if len(before) == len(after):
        changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        return all(any(start <= i < end for start, end in spans) for i in changed)
    shorter = min(len(before), len(after))
    head = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    tail = next((i for i in range(shorter - head) if before[-1 - i] != after[-1 - i]), shorter - head)
    return any(start <= head and len(before) - tail <= end for start, end in spans)


def with_pixels_of(name: str, before: bytes, after: bytes) -> bytes:
    """A damaged file of the original's length whose pixels are whole again, its structure still damaged."""
    out = bytearray(after)
    for start, end in ranges(name, before):
        out[start:end] = before[start:end]
    return bytes(out)


def only_predictor(before: bytes, after: bytes) -> bool:
    """Whether all that differs is that every page of a TIFF says its rows are stored as differences, or no longer says so."""
    with tifffile.TiffFile(io.BytesIO(before)) as was, tifffile.TiffFile(io.BytesIO(after)) as now:
        if len({page.predictor for page in now.pages}) > 1 or len(was.pages) != len(now.pages):
            return False
        for a, b in zip(was.pages, now.pages, strict=True):
            told, read = a.asarray(), b.asarray()
            if a.predictor == 2 and b.predictor == 1:
                read = np.cumsum(read, axis=1, dtype=read.dtype)
            elif a.predictor == 1 and b.predictor == 2:
                told = np.cumsum(told, axis=1, dtype=told.dtype)
            if not np.array_equal(told, read):
                return False
    return True


def only_photometric(before: bytes, after: bytes) -> bool:
    """Whether all that differs is that every page of a TIFF says its white is stored as zero, or no longer says so."""
    if len(before) != len(after):
        return False
    with tifffile.TiffFile(io.BytesIO(before)) as was, tifffile.TiffFile(io.BytesIO(after)) as now:
        spans = [(page.tags[262].valueoffset, page.tags[262].valueoffset + 4) for page in was.pages]
        stated = {int(page.photometric) for page in now.pages}
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    return len(stated) == 1 and stated <= {0, 1} and all(any(a <= i < b for a, b in spans) for i in changed)
