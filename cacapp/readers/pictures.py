"""PNG and JPEG exports, 8 or 16 bit. Read with OpenCV, which keeps 16-bit colour."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from cacapp.exceptions import CacappError
from cacapp.readers.quiet_libraries import capture_stderr
from cacapp.readers.unpacked_size import unpacked_bytes
from cacapp.scene import Scene, check_plane_size
from cacapp.types import Array

SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PALETTE = 3
_PNG_SAMPLES = {0: 1, 2: 3, _PALETTE: 3, 4: 2, 6: 4}
_TRUNCATED = "truncated or damaged; copy or export it again"


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, data) of the chunks up to the end mark, each with the right checksum (PNG specification, section 5)."""
    at = len(_PNG)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if at + 12 + length > len(content):
            break
        (checksum,) = struct.unpack_from(">I", content, at + 8 + length)
        if zlib.crc32(memoryview(content)[at + 4 : at + 8 + length]) != checksum:
            break
        yield kind, content[at + 8 : at + 8 + length]
        if kind == b"IEND":
            return
        at += 12 + length
    raise CacappError(_TRUNCATED)


def _png_header(content: bytes) -> tuple[int, int, int, int]:
    """Return (height, width, bits, samples) of a complete PNG with pixels that unpack to exactly the declared size."""
    chunks = list(_png_chunks(content))
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise CacappError(_TRUNCATED)
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    check_plane_size(height, width)
    samples = _PNG_SAMPLES.get(colour, 0)
    if not interlaced:
        stored = 1 if colour == _PALETTE else samples
        size = height * (1 + (width * bits * stored + 7) // 8)
        if unpacked_bytes(b"".join(data for kind, data in chunks if kind == b"IDAT"), size) != size:
            raise CacappError(_TRUNCATED)
    return height, width, bits, samples


def _png_pixels(content: bytes) -> bytes:
    """Return the PNG without comments and colour profiles: OpenCV's libpng unpacks them, and prints warnings on the console."""
    parts = [_PNG]
    for kind, data in _png_chunks(content):
        if kind in _PNG_KEPT:
            parts += [struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(kind + data))]
    return b"".join(parts)


def _jpeg_header(content: bytes) -> tuple[int, int, int, int]:
    """Return (height, width, bits, samples) of a JPEG with an end-of-image marker (ITU T.81, annex B)."""
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, samples = struct.unpack_from(">BHHB", content, at + 4)
            if not content.rstrip(b"\0").endswith(b"\xff\xd9"):
                break
            return height, width, bits, samples
        at += 2 + int(struct.unpack_from(">H", content, at + 2)[0])
    raise CacappError(_TRUNCATED)


def _decode(path: Path) -> Array:
    """Decode (Y, X, S) pixels as stored; S in the order R, G, B, alpha. Raises CacappError where the image does not decode."""
    content = path.read_bytes()
    content = _png_pixels(content) if content.startswith(_PNG) else content
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise CacappError(_TRUNCATED)
    if image.ndim == 2:
        return image[:, :, None]
    order = [2, 1, 0, 3][: image.shape[2]]
    return image[:, :, order]


def _check_jpeg(path: Path) -> None:
    """Raise CacappError where libjpeg prints any warning: it would continue with invented pixels."""
    with capture_stderr() as printed:
        _decode(path)
    if b"JPEG" in printed():
        raise CacappError(_TRUNCATED)


def _plane_reader(path: Path) -> Callable[[int, int], Array]:
    def read(index: int, z: int) -> Array:
        return np.ascontiguousarray(_decode(path)[:, :, index])

    return read


def raster_scenes(path: Path) -> list[Scene]:
    """Read the one scene of a PNG or JPEG. Raises CacappError where the file is empty, truncated, damaged or of another format."""
    content = path.read_bytes()
    if not content:
        raise CacappError("empty (0 bytes); copy or export it again")
    if content.startswith(_PNG):
        height, width, bits, samples = _png_header(content)
    elif content.startswith(b"\xff\xd8"):
        height, width, bits, samples = _jpeg_header(content)
    else:
        raise CacappError("neither PNG nor JPEG, whatever its name says; export the image again")
    check_plane_size(height, width)
    if not content.startswith(_PNG):
        _check_jpeg(path)
    if bits not in (8, 16):
        raise CacappError(f"has {bits} bits a pixel; 8 and 16 are read: export it again")
    # OpenCV widens grey with alpha to four planes.
    samples = 4 if samples == 2 else samples
    exact = content.startswith(_PNG)
    return [
        Scene(
            key="",
            title="",
            dtype=np.dtype("uint8" if bits == 8 else "uint16"),
            height_px=height,
            width_px=width,
            channels=("",),
            read=_plane_reader(path),
            n_samples=samples,
            exact=exact,
        )
    ]
