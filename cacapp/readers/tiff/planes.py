"""Pixels of one plane of a TIFF, read from its own strips or tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.readers.tiff import strips
from cacapp.readers.tiff.structure import COLOUR_TABLE, Page
from cacapp.types import Array

_PLAIN, _WHITE_IS_ZERO, _PALETTE = 1, 0, 3
# Of a colour table's range of brightness, what may go down on the way up: ImageJ's "Fire" has such dips.
_TABLE_SLACK = 0.25


def read_page(path: Path, page: Page, sample: int = 0, skip: int = 0) -> Array:
    """Read (Y, X) pixels of a page in the machine's byte order; inverted where white is stored as zero.

    Args:
        sample: the colour, of pages with several.
        skip: planes that follow the page's own without directories, of uncompressed ImageJ stacks.

    Raises:
        CacappError: the file is shorter than it was.
    """
    plane = _plain(path, page, sample, skip) if page.one(strips.COMPRESSION, _PLAIN) == _PLAIN else _packed(path, page, sample)
    if page.one(strips.PHOTOMETRIC, 1) == _WHITE_IS_ZERO and plane.dtype.kind == "u":
        np.subtract(np.iinfo(plane.dtype).max, plane, out=plane)
    return plane


def check_colour_table(page: Page) -> None:
    """Raise CacappError where the colours of a page with a colour table neither get brighter with the pixel's value, nor darker.

    A table of brightness shows intensities in colour (an inverted one in ImageJ changes the display alone, not the values); any other one
    stands for the colours of an RGB image.
    """
    table = page.tags.get(COLOUR_TABLE)
    if page.one(strips.PHOTOMETRIC, 1) != _PALETTE or not table or len(table) % 3:
        return
    brightness = np.array(table, np.float64).reshape(3, -1).sum(axis=0)
    if len(brightness) == 256 and page.one(strips.BITS, 8) == 8:
        brightness = brightness[:-1] if brightness[-1] < brightness[-2] else brightness  # some mark saturation with a colour of its own
    steps = np.diff(brightness)
    if min(steps[steps > 0].sum(), -steps[steps < 0].sum()) > _TABLE_SLACK * np.ptp(brightness):
        raise CacappError("pixels are numbers of colours in a table, not intensities; export it in grey, 8 or 16 bit")


def _plain(path: Path, page: Page, sample: int, skip: int) -> Array:
    layout = strips.layout_of(page.tags)
    height, width, samples = page.shape
    together = samples // (layout.number // layout.per_plane)
    dtype = page.dtype.newbyteorder(">" if page.byteorder == ">" else "<")
    first = 0 if together > 1 or samples == 1 else sample * layout.per_plane
    offsets = next(page.tags[t] for t in sorted(strips.OFFSETS) if page.tags.get(t))[first : first + layout.per_plane]
    shift = skip * height * width * samples * dtype.itemsize
    if layout.tiled:
        plane = _tiles(path, offsets, layout, (height, width, together), dtype)
    else:
        sizes = [layout.full] * (len(offsets) - 1) + [layout.last_rows * layout.row_bytes]
        raw = _joined(path, [o + shift for o in offsets], sizes)
        plane = np.frombuffer(raw, dtype).reshape(height, width, together)
    chosen = np.ascontiguousarray(plane[:, :, sample if together > 1 else 0])
    return chosen if chosen.dtype.isnative else chosen.byteswap(inplace=True).view(chosen.dtype.newbyteorder("="))


def _joined(path: Path, offsets: Sequence[int], sizes: Sequence[int]) -> bytearray:
    """Read strips into one block; strips that follow each other are read at once."""
    out = bytearray(sum(sizes))
    view, at, i = memoryview(out), 0, 0
    with path.open("rb") as file:
        while i < len(offsets):
            j, length = i, 0
            while j < len(offsets) and offsets[j] == offsets[i] + length:
                length += sizes[j]
                j += 1
            file.seek(offsets[i])
            if file.readinto(view[at : at + length]) != length:
                raise CacappError("truncated: pixels lie beyond its end; copy or export it again")
            at, i = at + length, j
    return out


def _tiles(path: Path, offsets: Sequence[int], layout: strips.Layout, shape: tuple[int, int, int], dtype: np.dtype[np.generic]) -> Array:
    height, width, samples = shape
    out = np.empty(shape, dtype)
    across = -(-width // layout.width)
    for i, offset in enumerate(offsets):
        y, x = i // across * layout.height, i % across * layout.width
        tile = np.frombuffer(_joined(path, [offset], [layout.full]), dtype).reshape(layout.height, layout.width, samples)
        out[y : y + layout.height, x : x + layout.width] = tile[: height - y, : width - x]
    return out


def _packed(path: Path, page: Page, sample: int) -> Array:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        tiff.filehandle.seek(page.offset)
        found = tifffile.TiffPage(tiff, index=page.number).asarray(maxworkers=1)
    height, width, samples = page.shape
    if samples > 1 and found.shape == (height, width, samples):
        found = found[:, :, sample]
    elif samples > 1 and found.shape == (samples, height, width):
        found = found[sample]
    if found.shape != (height, width):
        raise CacappError(f"damaged: a plane of {width} x {height} px decodes to {found.shape}; export it again")
    return np.array(found, found.dtype.newbyteorder("="), order="C")
