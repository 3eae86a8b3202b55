"""Read the directories of a TIFF and check that it is complete, by its size and without reading pixels.

TIFF 6.0 (Adobe, 1992), section 2, and the BigTIFF extension of it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.readers.tiff import strips

SUBFILE, DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, COLOUR_TABLE, SAMPLE_FORMAT = 254, 270, 282, 283, 320, 339
IMAGEJ_COUNTS, IMAGEJ, MICRO_MANAGER = 50838, 50839, 51123
REDUCED = 1
"""Bit of SUBFILE: an image of smaller size than another one of the file."""

_INTEGERS = (
    {strips.WIDTH, strips.LENGTH, strips.BITS, strips.COMPRESSION, strips.SAMPLES, strips.ROWS, strips.PLANAR}
    | {strips.TILE_WIDTH, strips.TILE_LENGTH, strips.FILL_ORDER, strips.PREDICTOR, strips.PHOTOMETRIC}
    | strips.OFFSETS
    | strips.COUNTS
    | {SUBFILE, X_RESOLUTION, Y_RESOLUTION, COLOUR_TABLE, SAMPLE_FORMAT, IMAGEJ_COUNTS}
)
_RAW = {DESCRIPTION, IMAGEJ, MICRO_MANAGER}
_RAW_BYTES = 1 << 16
"""Metadata of pages after the first that is read; what is longer belongs to the first."""
# Tag type -> size in bytes and struct letter (letters only for the integers whose values are needed).
_TYPES = {
    **{1: (1, "B"), 2: (1, ""), 3: (2, "H"), 4: (4, "I"), 5: (8, "I"), 6: (1, ""), 7: (1, ""), 8: (2, ""), 9: (4, ""), 10: (8, "")},
    **{11: (4, ""), 12: (8, ""), 13: (4, "I"), 16: (8, "Q"), 17: (8, ""), 18: (8, "Q")},
}
# A z-stack of 100 planes in 5 channels has 500; the libraries take seconds for some thousands.
MAX_DIRECTORIES = 4096
_TRUNCATED = "truncated: {what} lie beyond its end ({size} bytes); copy or export it again"


@dataclass(frozen=True, slots=True)
class Page:
    """Directory of a TIFF: one plane, with all its samples.

    Attributes:
        number: place in the file, from 0; offset: of the directory.
        byteorder: "<" or ">".
        tags: values of integer tags (a rational as two).
        raw: bytes of metadata tags; of a description given twice, as Micro-Manager does, the first.
    """

    number: int
    offset: int
    byteorder: str
    tags: Mapping[int, tuple[int, ...]]
    raw: Mapping[int, bytes]

    def one(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return (self.tags.get(tag) or (default,))[0]

    def text(self, tag: int = DESCRIPTION) -> str:
        """Return a tag's text, "" where there is none: UTF-8 as OME-XML is, else Latin-1 as ImageJ writes."""
        found = self.raw.get(tag, b"").split(b"\0")[0]
        try:
            return found.decode("utf-8")
        except UnicodeDecodeError:
            return found.decode("latin-1")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (height, width, samples)."""
        return self.one(strips.LENGTH, 0), self.one(strips.WIDTH, 0), self.one(strips.SAMPLES, 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the pixel type in the machine's byte order. Raises CacappError for one that numpy does not have."""
        bits, form = self.one(strips.BITS, 1), self.one(SAMPLE_FORMAT, 1)
        if bits == 1:
            return np.dtype(bool)
        kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(form, "")
        if bits not in (8, 16, 32, 64) or not kind or (kind == "f" and bits == 8):
            raise CacappError(f"has {bits} bits a pixel (sample format {form}); 8 and 16 are read: export it again")
        return np.dtype(f"{kind}{bits // 8}")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte order and field widths of classic TIFF and BigTIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def entry_count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))


def _layout(head: bytes) -> tuple[_Layout, int]:
    """Return layout and offset of the first directory. Raises CacappError where this is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    magic = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 4 else 0
    if magic not in (42, 43):
        raise CacappError("not a TIFF, whatever its name says; export the image again")
    layout = _Layout(order, magic == 43)
    start = 8 if layout.big else 4
    if len(head) < start + layout.offset.size:
        raise CacappError(_TRUNCATED.format(what="its directories", size=len(head)))
    return layout, layout.offset.unpack_from(head, start)[0]


def _read(file: BinaryIO, offset: int, count: int, size: int, what: str) -> bytes:
    if offset + count > size:
        raise CacappError(_TRUNCATED.format(what=what, size=size))
    file.seek(offset)
    return file.read(count)


def _directory(file: BinaryIO, layout: _Layout, offset: int, size: int, taken: list[tuple[int, int]], number: int) -> tuple[Page, int]:
    """Read the needed tags of one directory, and the offset of the next directory (0: none).

    The [start, end) of the directory and of its tags' values are added to ``taken``.
    """
    n = layout.entry_count.unpack(_read(file, offset, layout.entry_count.size, size, "its directories"))[0]
    block = _read(file, offset + layout.entry_count.size, n * layout.entry.size + layout.offset.size, size, "its directories")
    taken.append((offset, offset + layout.entry_count.size + len(block)))
    tags: dict[int, tuple[int, ...]] = {}
    raws: dict[int, bytes] = {}
    for i in range(n):
        tag, kind, count, inline = layout.entry.unpack_from(block, i * layout.entry.size)
        width, letter = _TYPES.get(kind, (0, ""))
        if tag in tags:
            if tag == DESCRIPTION:
                continue
            raise CacappError(f"damaged: a directory has the tag {tag} twice; export it again")
        if count * width <= len(inline):
            raw = inline[: count * width]
        else:
            start = layout.offset.unpack(inline)[0]
            if start + count * width > size:
                raise CacappError(_TRUNCATED.format(what="its metadata", size=size))
            taken.append((start, start + count * width))
            wanted = tag in _INTEGERS or (tag in _RAW and (number == 0 or count * width <= _RAW_BYTES))
            raw = _read(file, start, count * width, size, "its metadata") if wanted else b""
        tags[tag] = ()
        if tag in _RAW:
            raws[tag] = raw
        elif tag in _INTEGERS and letter:
            values = count * (2 if width == 8 and letter == "I" else 1)
            tags[tag] = struct.unpack(f"{layout.order}{values}{letter}", raw)
    return Page(number, offset, layout.order, tags, raws), layout.offset.unpack_from(block, n * layout.entry.size)[0]


def _check_overlaps(parts: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    """Raise CacappError where two parts of the image share bytes, or one lies over the file's structure: one offset at least is wrong."""
    last_end, last_is_part = 0, False
    for start, end, is_part in sorted([*((a, b, True) for a, b in parts), *((a, b, False) for a, b in taken)]):
        if start < last_end and (is_part or last_is_part):
            raise CacappError("damaged: parts of the image lie over each other or over its directories; copy or export it again")
        if end >= last_end:
            last_end, last_is_part = end, is_part


def read_pages(path: Path) -> list[Page]:
    """Read the directories of a TIFF or BigTIFF, one a plane; check that all are complete.

    Raises:
        CacappError: empty, no TIFF, truncated, damaged, or of an absurd declared size; one line, to which the caller
            adds the file's name.
    """
    size = path.stat().st_size
    if size == 0:
        raise CacappError("empty (0 bytes); copy or export it again")
    with path.open("rb") as file:
        layout, offset = _layout(file.read(16))
        seen: set[int] = set()
        pages: list[Page] = []
        parts: list[tuple[int, int]] = []
        packings: dict[Any, Any] = {}
        taken = [(0, 16 if layout.big else 8)]
        while offset:
            if offset in seen:
                raise CacappError("damaged: its directories run in a circle; export it again")
            if len(seen) == MAX_DIRECTORIES:
                raise CacappError(f"has more than {MAX_DIRECTORIES} planes; export the frames to a file each")
            seen.add(offset)
            page, offset = _directory(file, layout, offset, size, taken, len(pages))
            pages.append(page)
            tags = page.tags
            parts += strips.check_strips(file, tags, size)
            shape = tuple(tags.get(tag, (1,)) for tag in (strips.WIDTH, strips.LENGTH, strips.BITS, strips.SAMPLES))
            packing = tuple(tags.get(tag, (1,)) for tag in (strips.COMPRESSION, strips.PREDICTOR, strips.PLANAR))
            if packings.setdefault(shape, packing) != packing:  # the libraries read all as they read the first
                raise CacappError("damaged: planes of one size are packed in different ways; export it again")
    if not pages:
        raise CacappError("damaged: it has no image; export it again")
    _check_overlaps(parts, taken)
    return pages
