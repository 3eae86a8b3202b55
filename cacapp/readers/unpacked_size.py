"""Unpacked size of a compressed block, without unpacking it into memory: protects against decompression bombs."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from cacapp.exceptions import CacappError

_PIECE = 1 << 20
# Deflate cannot do better (RFC 1951: 258 bytes a bit pair); blocks below need no second look.
_DEFLATE_RATIO = 1032
# Codes of at most 12 bits, each a string of at most 4096 bytes, which takes as many codes to build up.
_LZW_RATIO = 1400
_HARMLESS_BYTES = 256 << 20


def _streamed(unpacker: Any, raw: bytes, limit: int) -> int:
    """Count the bytes from a decompressor of the standard library, to ``limit`` + 1 at most."""
    total, rest = 0, raw
    while total <= limit and not unpacker.eof:
        piece = unpacker.decompress(rest, min(_PIECE, limit + 1 - total))
        rest = getattr(unpacker, "unconsumed_tail", b"")
        if not piece and not rest:
            break
        total += len(piece)
    return total


def unpacked_bytes(raw: bytes, limit: int) -> int:
    """Count the bytes that a zlib stream unpacks to, to ``limit`` + 1 at most; -1 where it is damaged or does not end."""
    unpacker = zlib.decompressobj()
    try:
        total = _streamed(unpacker, raw, limit)
        return total if unpacker.eof or total > limit else -1
    except zlib.error:
        return -1


def _zlib(raw: bytes, limit: int) -> int:
    if len(raw) * _DEFLATE_RATIO <= max(limit, _HARMLESS_BYTES):
        return 0
    return _streamed(zlib.decompressobj(wbits=47), raw, limit)  # 47: zlib or gzip, by its head


def _zstd(raw: bytes, limit: int) -> int:
    """Return the size in the frame's header (RFC 8878, 3.1.1.1); the library unpacks no more than that."""
    if len(raw) < 6 or raw[:4] != b"\x28\xb5\x2f\xfd":
        return 0  # the library refuses it
    flags = raw[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    if not width or len(raw) < start + width:
        return limit + 1  # size not said
    return int.from_bytes(raw[start : start + width], "little") + (256 if width == 2 else 0)


def _blosc(raw: bytes, limit: int) -> int:
    return struct.unpack_from("<I", raw, 4)[0] if len(raw) >= 16 else 0


def _lz4(raw: bytes, limit: int) -> int:
    return struct.unpack_from("<I", raw)[0] if len(raw) >= 4 else 0  # numcodecs writes the size before the block


def _bz2(raw: bytes, limit: int) -> int:
    return _streamed(bz2.BZ2Decompressor(), raw, limit)


def _lzma(raw: bytes, limit: int) -> int:
    return _streamed(lzma.LZMADecompressor(), raw, limit)


def _lzw(raw: bytes, limit: int) -> int:
    if len(raw) * _LZW_RATIO <= max(limit, _HARMLESS_BYTES):
        return 0
    try:
        import imagecodecs
    except ImportError:  # nothing here unpacks it then
        return 0
    return len(imagecodecs.lzw_decode(raw, out=limit + 1))  # stops where that is full


UNPACKED: Mapping[str, Callable[[bytes, int], int]] = {
    "zlib": _zlib,
    "gzip": _zlib,
    "zstd": _zstd,
    "blosc": _blosc,
    "lz4": _lz4,
    "bz2": _bz2,
    "lzma": _lzma,
    "lzw": _lzw,
}
"""By codec: (block, limit) -> the bytes it unpacks to, or more than ``limit`` where it is more; 0 where it cannot be many."""


def jpeg_size(raw: bytes) -> tuple[int, int]:
    """Return (height, width) in a JPEG's frame header, (0, 0) where there is none (ITU T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        marker, length = raw[at + 1], struct.unpack_from(">H", raw, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", raw, at + 5)
            return height, width
        at += 2 + length
    return 0, 0


def jpeg_2000_size(raw: bytes) -> tuple[int, int]:
    """Return (height, width) in a JPEG 2000 codestream's SIZ marker, (0, 0) where there is none (ITU T.800, A.5.1)."""
    at = raw.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 24 > len(raw):
        return 0, 0
    width, height, left, top = struct.unpack_from(">4I", raw, at + 8)
    return height - top, width - left


def check_unpacked(codec: str, raw: bytes, limit: int, what: str) -> None:
    """Raise CacappError where a block of a known codec unpacks to more than ``limit`` bytes, or its stream is damaged."""
    try:
        size = UNPACKED[codec](raw, limit)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError, RuntimeError):
        raise CacappError(f"damaged: {what} cannot be unpacked; copy or export it again") from None
    if size > limit:
        raise CacappError(f"damaged: {what} unpacks to more than the {limit} bytes it should have; export it again")
