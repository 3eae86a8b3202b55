"""Check that number and size of the strips or tiles of a TIFF page are as the page declares (TIFF 6.0, sections 2, 8 and 15)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cacapp.exceptions import CacappError
from cacapp.readers.unpacked_size import check_unpacked, jpeg_2000_size, jpeg_size
from cacapp.scene import MAX_PLANE_PX, check_plane_size

WIDTH, LENGTH, BITS, COMPRESSION, SAMPLES, ROWS, PLANAR = 256, 257, 258, 259, 277, 278, 284
TILE_WIDTH, TILE_LENGTH = 322, 323
FILL_ORDER, PREDICTOR, PHOTOMETRIC = 266, 317, 262
OFFSETS, COUNTS = {273, 324}, {279, 325}
_PLAIN, _JPEG = 1, 7
_PACKED = {5: "lzw", 8: "zlib", 32946: "zlib", 34926: "zstd", 50000: "zstd"}
_JPEG_2000 = {33003, 33004, 33005, 34712}
_OTHERS = {32773}  # PackBits, which unpacks to 64 times its size at most
_READ = {_PLAIN, _JPEG, *_PACKED, *_JPEG_2000, *_OTHERS}
_MAX_SAMPLES = 4
_SAMPLES_OF = {2: 3, 5: 4, 6: 3, 8: 3}  # RGB, CMYK, YCbCr, CIE Lab
_HEAD_BYTES = 1 << 16

Tags = Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of a page: lengths in px, ``full`` the bytes of a whole strip or tile."""

    number: int
    per_plane: int
    height: int
    width: int
    row_bytes: int
    last_rows: int
    tiled: bool

    @property
    def full(self) -> int:
        return self.height * self.row_bytes


def _one(tags: Tags, tag: int, default: int) -> int:
    return (tags.get(tag) or (default,))[0]


def layout_of(tags: Tags) -> Layout:
    width, height = _one(tags, WIDTH, 0), _one(tags, LENGTH, 0)
    check_plane_size(height, width)
    samples, bits = _one(tags, SAMPLES, 1), tags.get(BITS) or (1,)
    if not 1 <= samples <= _MAX_SAMPLES or len(set(bits)) > 1 or not 1 <= bits[0] <= 64:
        raise CacappError(f"declares {samples} samples a pixel of {', '.join(map(str, bits[:8]))} bits; export it in grey, 8 or 16 bit")
    if samples < _SAMPLES_OF.get(_one(tags, PHOTOMETRIC, 1), 1):
        raise CacappError(f"damaged: it declares colours and {samples} sample{'' if samples == 1 else 's'} a pixel; export it again")
    if height * width * samples > MAX_PLANE_PX:
        raise CacappError(f"declares an image of {width} x {height} px with {samples} samples, more than is read; crop it into frames")
    planes = samples if _one(tags, PLANAR, 1) == 2 else 1
    together = samples // planes
    if TILE_WIDTH in tags or TILE_LENGTH in tags:
        tw, th = _one(tags, TILE_WIDTH, 0), _one(tags, TILE_LENGTH, 0)
        check_plane_size(th, tw)
        if th * tw > max(4 * height * width, 1 << 20):
            raise CacappError(f"damaged: it declares tiles of {tw} x {th} px in an image of {width} x {height} px; export it again")
        number = math.ceil(width / tw) * math.ceil(height / th) * planes
        return Layout(number, number // planes, th, tw, (tw * bits[0] * together + 7) // 8, th, True)
    rows = min(_one(tags, ROWS, height), height)
    if rows < 1:
        raise CacappError("damaged: it declares strips without rows; export it again")
    strips = math.ceil(height / rows)
    return Layout(strips * planes, strips, rows, width, (width * bits[0] * together + 7) // 8, height - rows * (strips - 1), False)


def check_strips(file: BinaryIO, tags: Tags, size: int) -> Iterator[tuple[int, int]]:
    """Return [start, end) of each strip or tile of a page in the file; check that all are complete and of the declared size.

    Args:
        tags: the page's values of the tags above.
        size: of the file, bytes.

    Raises:
        CacappError: too large a page, a compression that is not read, strips missing, cut short or bursting.
    """
    layout = layout_of(tags)
    compression = _one(tags, COMPRESSION, _PLAIN)
    if compression not in _READ:
        raise CacappError(f"compressed in a way that is not read (TIFF code {compression}); export it uncompressed or with deflate")
    predictor = _one(tags, PREDICTOR, 1)
    if predictor not in (1, 2) or (predictor == 2 and compression not in _PACKED) or _one(tags, FILL_ORDER, 1) != 1:
        raise CacappError("damaged: it declares a predictor or bit order that does not go with its pixels; export it again")
    if sum(t in tags for t in OFFSETS) > 1 or sum(t in tags for t in COUNTS) > 1:
        raise CacappError("damaged: it declares strips and tiles at once; export it again")
    offsets = next((tags[t] for t in sorted(OFFSETS) if tags.get(t)), ())
    counts = next((tags[t] for t in sorted(COUNTS) if tags.get(t)), ())
    if not counts and len(offsets) == 1 and compression == _PLAIN:
        counts = (layout.full,)
    if not offsets or len(offsets) != len(counts) or min(counts) == 0 or min(offsets) == 0:
        raise CacappError("damaged: parts of the image are not in it (they would read as black); copy or export it again")
    if max(o + c for o, c in zip(offsets, counts, strict=True)) > size:
        raise CacappError(f"truncated: pixels lie beyond its end ({size} bytes); copy or export it again")
    if len(offsets) != layout.number:
        raise CacappError(f"damaged: it declares {layout.number} parts of the image and has {len(offsets)}; copy or export it again")
    if compression == _PLAIN:
        _check_plain(layout, counts)
    else:
        _check_packed(file, compression, layout, offsets, counts)
    yield from ((o, o + c) for o, c in zip(offsets, counts, strict=True))


def _check_plain(layout: Layout, counts: Sequence[int]) -> None:
    last = layout.last_rows * layout.row_bytes
    for i, count in enumerate(counts):
        # the last strip of a plane holds the rows that are left, or is padded to a whole one
        least = last if not layout.tiled and (i + 1) % layout.per_plane == 0 else layout.full
        if not least <= count <= layout.full + 1:
            raise CacappError(f"damaged: it declares {layout.full} bytes of pixels in a part and holds {count}; copy or export it again")


def _check_packed(file: BinaryIO, compression: int, layout: Layout, offsets: Sequence[int], counts: Sequence[int]) -> None:
    what = "a part of the image"
    for offset, count in zip(offsets, counts, strict=True):
        if compression in _PACKED:
            codec = _PACKED[compression]
            file.seek(offset)
            check_unpacked(codec, file.read(min(count, 32) if codec == "zstd" else count), layout.full, what)
        elif compression == _JPEG or compression in _JPEG_2000:
            file.seek(offset)
            head = file.read(min(count, _HEAD_BYTES))
            height, width = jpeg_size(head) if compression == _JPEG else jpeg_2000_size(head)
            if not (0 < height <= layout.height and 0 < width <= layout.width):
                raise CacappError(
                    f"damaged: {what} of {layout.width} x {layout.height} px holds a JPEG of {width} x {height}; export it again"
                )
