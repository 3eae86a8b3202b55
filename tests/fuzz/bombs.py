"""Decompression bombs and files that contain code: each as {path in its folder: bytes}."""

from __future__ import annotations

import base64
import json
import pickle
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.originals import Files, original

MB = 1 << 20
LIKE = {"png": "png-series", "jpeg": "jpeg-series", "zarr": "ome-zarr"}
"""First word of a decompression bomb's name -> the format as which it may be accepted."""


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


@cache
def deflated(size: int) -> bytes:
    """``size`` zero bytes (a multiple of 64 MB) in zlib's format, a thousandth of that: one block again and again (RFC 1950)."""
    packer = zlib.compressobj(9)
    head = packer.compress(bytes(64 * MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(64 * MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">I", (size % 65521) << 16 | 1)
    return head + block * (size // (64 * MB) - 1) + b"\x03\0" + checksum


def tiff(width: int, height: int, data: bytes, compression: int = 8, pages: int = 5, **more: int) -> Files:
    """A classic TIFF of 16-bit pages that all hold ``data`` in one strip."""
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for page in range(pages):
        tags = {256: width, 257: height, 258: 16, 259: compression, 262: 1, 277: 1, 278: height, 279: len(data)}
        tags |= {int(k[1:]): v for k, v in more.items()}
        start, size = len(out), 2 + 12 * (len(tags) + 1) + 4
        tags[273] = start + size
        body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
        last = page == pages - 1
        out += struct.pack("<H", len(tags)) + body + struct.pack("<I", 0 if last else start + size + len(data) + len(data) % 2)
        out += data + b"\0" * (len(data) % 2)
    return {"f.tif": bytes(out)}


def png(width: int, height: int, packed: bytes) -> Files:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return {**original("png-series"), "f_red.png": image}


def png_text() -> Files:
    """A compressed comment that unpacks to 1 GB."""
    whole = original("png-series")
    body = b"c\0\0" + deflated(1024 * MB)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    raw = whole["f_red.png"]
    return {**whole, "f_red.png": raw[:33] + chunk + raw[33:]}


def jpeg_size(height: int, width: int) -> Files:
    whole = original("jpeg-series")
    raw = bytearray(whole["f_red.jpg"])
    at = raw.index(b"\xff\xc0")
    struct.pack_into(">HH", raw, at + 5, height, width)
    return {**whole, "f_red.jpg": bytes(raw)}


def zarr_with(name: str = "ome-zarr", chunk: Callable[[bytes], bytes] | None = None, **fields: Any) -> Files:
    """An OME-Zarr whose array declares otherwise, and whose chunks are replaced."""
    whole = dict(original(name))
    array = json.loads(whole["f.zarr/0/.zarray"]) | fields
    whole["f.zarr/0/.zarray"] = json.dumps(array).encode()
    if chunk is not None:
        for path in [p for p in whole if p.startswith("f.zarr/0/") and not p.endswith(".zarray")]:
            whole[path] = chunk(whole[path])
    return whole


def zarr_deep() -> Files:
    return {**original("ome-zarr"), "f.zarr/.zattrs": b'{"multiscales":' * 100_000}


def ome_bomb(levels: int) -> Files:
    """The billion laughs in the OME-XML."""
    entities = '<!ENTITY a "ha">' + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(levels))
    return _ome(f"<!DOCTYPE OME [{entities}]>", f"&{chr(97 + levels)};")


def ome_file(path: str) -> Files:
    """Another file's content as a channel's name."""
    return _ome(f'<!DOCTYPE OME [<!ENTITY x SYSTEM "file://{path}">]>', "&x;")


def _ome(doctype: str, name: str) -> Files:
    import io

    import numpy as np
    import tifffile

    sink = io.BytesIO()
    channels = "".join(
        f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1" Name="{n}"/>' for i, n in enumerate(("DAPI", "aqua", "green", "gold", "red"))
    )
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Description>{name}</Description><Pixels DimensionOrder="XYCZT" ID="Pixels:0" SizeC="5" SizeT="1" '
        f'SizeX="56" SizeY="40" SizeZ="1" '
        f'Type="uint16">{channels}<TiffData IFD="0" PlaneCount="5"/></Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(sink) as writer:
        for i in range(5):
            writer.write(np.full((40, 56), i, np.uint16), description=text if i == 0 else None, metadata=None, contiguous=False)
    return {"f.ome.tif": sink.getvalue()}


def pickled(marker: str) -> bytes:
    return pickle.dumps(Touch(marker))


def bombs(marker: str) -> Mapping[str, Callable[[], Files]]:
    """By name; those that are to run something touch ``marker``."""
    big = 4 * 1024 * MB
    return {
        "tiff deflate 4 GB in a small image": lambda: tiff(56, 40, deflated(big), pages=1),
        "tiff deflate 4 GB, one of five": lambda: tiff(32768, 32768, deflated(2048 * MB), pages=2),
        "tiff deflate declares 2 GB, holds little": lambda: tiff(32768, 32768, zlib.compress(bytes(1000)), pages=5),
        "tiff raw declares 60,000 px": lambda: tiff(60_000, 60_000, bytes(1000), 1),
        "tiff 20,000 directories": lambda: tiff(4, 4, bytes(32), 1, pages=20_000),
        "tiff lzw": lambda: tiff(56, 40, b"\x80" + bytes(3 * MB), 5, pages=1),
        "tiff zstd": lambda: tiff(56, 40, _zstd(3 * 1024 * MB), 50000, pages=1),
        "tiff jpeg 65,500 px in a small page": lambda: tiff(56, 40, jpeg_size(65500, 65500)["f_red.jpg"], 7, pages=5, _258=8),
        "tiff many samples": lambda: tiff(56, 40, bytes(4480), 1, _277=65535),
        "tiff rows per strip 0": lambda: tiff(56, 40, bytes(4480), 1, _278=0),
        "png 3 GB": lambda: png(30_000, 30_000, deflated(1024 * MB)),
        "png declares 1 Gpx, holds little": lambda: png(32768, 32767, zlib.compress(bytes(1000))),
        "png small, holds 2 GB": lambda: png(56, 40, deflated(2048 * MB)),
        "png comment 1 GB": png_text,
        "jpeg declares 65,500 px": lambda: jpeg_size(65500, 65500),
        "jpeg declares 30,000 px": lambda: jpeg_size(30_000, 30_000),
        "zarr chunk unpacks to 4 GB": lambda: zarr_with("ome-zarr-zlib", lambda raw: deflated(big // 8)),
        "zarr shape of 10^15": lambda: zarr_with(shape=[5, 10**9, 10**6]),
        "zarr 10^9 chunks": lambda: zarr_with(shape=[5, 30_000, 30_000], chunks=[1, 1, 1]),
        "zarr 10^12 channels": lambda: zarr_with(shape=[10**12, 40, 56]),
        "zarr one chunk of 10^15": lambda: zarr_with("ome-zarr-zlib", chunks=[10**5, 10**5, 10**5]),
        "zarr chunks of 0": lambda: zarr_with(chunks=[1, 0, 32]),
        "zarr chunks below 0": lambda: zarr_with(chunks=[1, -24, 32]),
        "zarr shape of words": lambda: zarr_with(shape="abc"),
        "zarr pickle filter": lambda: zarr_with(
            dtype="|O", filters=[{"id": "pickle", "protocol": 5}], compressor=None, chunk=lambda raw: pickled(marker)
        ),
        "zarr pickle compressor": lambda: zarr_with(compressor={"id": "pickle", "protocol": 5}, chunk=lambda raw: pickled(marker)),
        "zarr object fill value": lambda: zarr_with(
            dtype="|O", filters=[{"id": "pickle"}], fill_value=base64.b64encode(pickled(marker)).decode()
        ),
        "zarr vlen objects": lambda: zarr_with(dtype="|O", filters=[{"id": "vlen-bytes"}], compressor=None),
        "zarr unknown codec": lambda: zarr_with(compressor={"id": "nothing"}),
        "zarr deep json": zarr_deep,
        "ome-xml billion laughs": lambda: ome_bomb(9),
        "ome-xml quadratic": lambda: ome_bomb(6),
        "ome-xml another file": lambda: ome_file("/etc/hostname"),
        "ome-xml endless device": lambda: ome_file("/dev/zero"),
    }


def _zstd(size: int) -> bytes:
    """A zstd frame of raw-length blocks: each repeats one byte 128 KB long and takes 4 bytes (RFC 8878, 3.1.1)."""
    blocks = size // (128 << 10)
    head = struct.pack("<IBQ", 0xFD2FB528, 0b11100000, size)
    body = b"".join(struct.pack("<I", (int(i == blocks - 1)) | (1 << 1) | ((128 << 10) << 3))[:3] + b"\0" for i in range(blocks))
    return head + body
