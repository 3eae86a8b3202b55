"""Whether a TIFF is whole: walks its directories and compares what they declare with the file's size, reading no pixels.

TIFF 6.0 (Adobe, 1992), section 2, and the BigTIFF extension of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cacapp.errors import CacappError
from cacapp.frames.scene import check_plane_size

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _DESCRIPTION, _SAMPLES = 256, 257, 258, 259, 270, 277
_OFFSETS, _COUNTS = {273, 324}, {279, 325}
_USED = {_WIDTH, _LENGTH, _BITS, _COMPRESSION, _DESCRIPTION, _SAMPLES} | _OFFSETS | _COUNTS
# Tag type -> size in bytes and struct letter (letters only for the integers whose values are needed).
_TYPES = {1: (1, "B"), 2: (1, ""), 3: (2, "H"), 4: (4, "I"), 5: (8, ""), 7: (1, ""), 13: (4, "I"), 16: (8, "Q"), 18: (8, "Q")}
_TRUNCATED = "truncated: {what} lie beyond its end ({size} bytes); copy or export it again"


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
    """Layout and offset of the first directory. Raises CacappError where this is no TIFF."""
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


def _directory(file: BinaryIO, layout: _Layout, offset: int, size: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """The integer values of one directory's tags that matter here, and the offset of the next directory (0: none)."""
    n = layout.entry_count.unpack(_read(file, offset, layout.entry_count.size, size, "its directories"))[0]
    block = _read(file, offset + layout.entry_count.size, n * layout.entry.size + layout.offset.size, size, "its directories")
    tags: dict[int, tuple[int, ...]] = {}
    for i in range(n):
        tag, kind, count, inline = layout.entry.unpack_from(block, i * layout.entry.size)
        if tag not in _USED:
            continue
        width, letter = _TYPES.get(kind, (0, ""))
        if count * width <= len(inline):
            raw = inline[: count * width]
        else:
            raw = _read(file, layout.offset.unpack(inline)[0], count * width, size, "its metadata")
        tags[tag] = struct.unpack(f"{layout.order}{count}{letter}", raw) if letter else ()
    return tags, layout.offset.unpack_from(block, n * layout.entry.size)[0]


def _check_page(tags: dict[int, tuple[int, ...]], size: int) -> None:
    width, height = (tags.get(t, (0,))[0] for t in (_WIDTH, _LENGTH))
    check_plane_size(height, width)
    samples = tags.get(_SAMPLES, (1,))[0]
    bits = tags.get(_BITS, (1,))[0]
    declared = (width * bits * samples + 7) // 8 * height
    plain = tags.get(_COMPRESSION, (1,))[0] == 1
    offsets = next((tags[t] for t in _OFFSETS if tags.get(t)), ())
    counts = next((tags[t] for t in _COUNTS if tags.get(t)), (declared,) if len(offsets) == 1 and plain else ())
    if not offsets or len(offsets) != len(counts) or min(counts) == 0 or min(offsets) == 0:
        raise CacappError("damaged: parts of the image are not in it (they would read as black); copy or export it again")
    if max(o + c for o, c in zip(offsets, counts, strict=True)) > size:
        raise CacappError(_TRUNCATED.format(what="pixels", size=size))
    if plain and sum(counts) < declared:
        raise CacappError(f"damaged: it declares {declared} bytes of pixels and holds {sum(counts)}; copy or export it again")


def check_structure(path: Path) -> int:
    """Number of directories (planes) in a TIFF or BigTIFF, all whole.

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
        while offset:
            if offset in seen:
                raise CacappError("damaged: its directories run in a circle; export it again")
            seen.add(offset)
            tags, offset = _directory(file, layout, offset, size)
            _check_page(tags, size)
    if not seen:
        raise CacappError("damaged: it has no image; export it again")
    return len(seen)
