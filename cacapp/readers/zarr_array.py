"""Array of a Zarr store (versions 2 and 3) on this machine: metadata checked, one plane read at a time from its own chunks.

Zarr specifications, https://zarr-specs.readthedocs.io: version 2; version 3 with the codecs bytes, blosc, gzip, zstd, transpose, crc32c and
sharding_indexed. Chunks are unpacked with numcodecs; a block that unpacks to more than a chunk is refused before.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.readers.unpacked_size import check_unpacked
from cacapp.scene import check_plane_size
from cacapp.types import Array

_COMPRESSORS = ("blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma")
_FILTERS = ("delta", "shuffle")
_COMPRESSORS_3 = ("blosc", "gzip", "zstd")
_MAX_PLANES = 65536
_MAX_NAMED = 1_000_000
_MAX_CHUNK_BYTES = 1 << 29
_ABSENT = 2**64 - 1

Codecs = Sequence[Mapping[str, Any]]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is no file or another value. Raises CacappError where it cannot be read."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError, RecursionError):
        raise CacappError(f"corrupt: {path.name} cannot be read; export it again") from None
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """Array on the disk.

    Attributes:
        folder: with the chunks; file: the metadata's name in messages, ``0/.zarray``.
        shape, chunks: lengths of the axes; chunks are what a file holds, or a part of a shard.
        shards: lengths of what a file holds, where it holds several chunks, else as ``chunks``.
        dtype: as stored; prefix, separator: of the names of files.
        codecs: from the array to bytes, in version 3's terms; index_codecs: of a shard's index.
        index_first: the index is at the start of a shard.
    """

    folder: Path
    file: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    dtype: np.dtype[Any]
    prefix: str
    separator: str
    codecs: Codecs
    index_codecs: Codecs = ()
    index_first: bool = False

    @property
    def chunk_bytes(self) -> int:
        """Return the bytes of a chunk when unpacked."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def name(self, index: Sequence[int]) -> str:
        """Return the name of a file below the array's folder."""
        return self.prefix + self.separator.join(map(str, index))

    def check_files(self) -> None:
        """Raise CacappError where a file is absent (Zarr would read it as black), beyond the declared size, or not of a chunk's size."""
        counts = [math.ceil(s / c) for s, c in zip(self.shape, self.shards, strict=True)]
        plain = not self._sharded and all(c["name"] in ("bytes", "transpose") for c in self.codecs)
        there = {p.relative_to(self.folder).as_posix(): p.stat().st_size for p in self.folder.rglob("*") if p.is_file()}
        if math.prod(counts) > max(len(there), _MAX_NAMED):
            raise CacappError(f"damaged: {math.prod(counts) - len(there)} of {math.prod(counts)} chunks are missing; copy it again")
        names = [self.name(i) for i in itertools.product(*(range(n) for n in counts))]
        chunk = re.compile(re.escape(self.prefix) + re.escape(self.separator).join([r"\d+"] * len(counts)))
        beyond = sorted({name for name in there if chunk.fullmatch(name)}.difference(names))
        if beyond:
            raise CacappError(f"damaged: chunk {beyond[0]} lies beyond the size that {self.file} declares; export it again")
        wrong = [n for n in names if there.get(n, 0) == 0 or (plain and there[n] != self.chunk_bytes)]
        if wrong:
            raise CacappError(
                f"damaged: {len(wrong)} of {math.prod(counts)} chunks are missing or cut short ({wrong[0]} ...); copy it again"
            )

    def read(self, leading: Sequence[int]) -> Array:
        """Read the (Y, X) plane at these indices of the axes before y and x, in the machine's byte order."""
        height, width = self.shape[-2:]
        plane = np.empty((height, width), self.dtype.newbyteorder("="))
        shard_at = [i // s for i, s in zip(leading, self.shards, strict=False)]
        ch, cw = self.shards[-2:]
        for row, column in itertools.product(range(math.ceil(height / ch)), range(math.ceil(width / cw))):
            name = self.name([*shard_at, row, column])
            inside = [i % s for i, s in zip(leading, self.shards, strict=False)]
            part = self._file_plane((self.folder / name).read_bytes(), inside, name)
            y, x = row * ch, column * cw
            plane[y : y + ch, x : x + cw] = part[: height - y, : width - x]
        return plane

    @property
    def _sharded(self) -> bool:
        return self.shards != self.chunks

    def _file_plane(self, raw: bytes, inside: Sequence[int], name: str) -> Array:
        """Return the plane of one file, at these indices inside of it."""
        if not self._sharded:
            whole: Array = self._chunk(raw, name)[tuple(inside)]
            return whole
        per_shard = [s // c for s, c in zip(self.shards, self.chunks, strict=True)]
        index = self._shard_index(raw, per_shard, name)
        ch, cw = self.chunks[-2:]
        plane = np.empty(self.shards[-2:], self.dtype)
        at = [i // c for i, c in zip(inside, self.chunks, strict=False)]
        within = tuple(i % c for i, c in zip(inside, self.chunks, strict=False))
        for row, column in itertools.product(range(per_shard[-2]), range(per_shard[-1])):
            start, length = (int(v) for v in index[(*at, row, column)])
            if start == _ABSENT:
                plane[row * ch : (row + 1) * ch, column * cw : (column + 1) * cw] = 0  # beyond the image's edge; checked by ``_within``
                self._check_beyond(name, row * ch, column * cw)
                continue
            if start + length > len(raw):
                raise CacappError(f"damaged: shard {name} is cut short; copy it again")
            chunk = self._chunk(raw[start : start + length], name)[within]
            plane[row * ch : (row + 1) * ch, column * cw : (column + 1) * cw] = chunk
        return plane

    def _check_beyond(self, name: str, y: int, x: int) -> None:
        """Raise CacappError where an absent chunk of a shard has pixels of the image."""
        row, column = (int(i) for i in name.removeprefix(self.prefix).split(self.separator)[-2:])
        if row * self.shards[-2] + y < self.shape[-2] and column * self.shards[-1] + x < self.shape[-1]:
            raise CacappError(f"damaged: chunks are missing in shard {name}; copy it again")

    def _shard_index(self, raw: bytes, per_shard: Sequence[int], name: str) -> Array:
        checked = any(c["name"] == "crc32c" for c in self.index_codecs)
        size = 16 * math.prod(per_shard) + (4 if checked else 0)
        if len(raw) < size:
            raise CacappError(f"damaged: shard {name} is cut short; copy it again")
        block = raw[:size] if self.index_first else raw[-size:]
        content = _checked_content(block, f"the index of shard {name}") if checked else block
        return np.frombuffer(content, "<u8").reshape(*per_shard, 2)

    def _chunk(self, raw: bytes, name: str) -> Array:
        """Unpack a chunk to its array."""
        import numcodecs

        limit = self.chunk_bytes
        order = tuple(range(len(self.chunks)))
        block: Any = raw
        for codec in reversed(self.codecs):
            kind = codec["name"]
            if kind == "transpose":
                order = tuple(codec["configuration"]["order"])
            elif kind == "crc32c":
                block = _checked_content(bytes(block), f"chunk {name}")
            elif kind != "bytes":
                if kind not in _FILTERS:
                    check_unpacked(kind, bytes(block), limit, f"chunk {name}")
                block = numcodecs.get_codec({"id": kind, **codec.get("configuration", {})}).decode(block)
        values = np.frombuffer(block, np.uint8)
        if values.nbytes != limit:
            raise CacappError(f"damaged: chunk {name} unpacks to {values.nbytes} bytes, not {limit}; copy or export it again")
        stored = values.view(self.dtype).reshape([self.chunks[i] for i in order])
        return stored.transpose(np.argsort(order))


def _checked_content(block: bytes, what: str) -> bytes:
    """Return a block without the CRC-32C at its end (RFC 3720, appendix B.4). Raises CacappError where that is another."""
    import google_crc32c

    content = block[:-4]
    if len(block) < 4 or google_crc32c.value(content) != struct.unpack("<I", block[-4:])[0]:
        raise CacappError(f"damaged: {what} has another checksum; copy it again")
    return content


def open_array(folder: Path, level: str) -> ZarrArray:
    """Return the array ``level`` of an image's folder.

    Raises:
        CacappError: no image, a too large one, or codecs that are not read (pickle could run code).
    """
    place = folder / level
    version_3 = (place / "zarr.json").is_file()
    array = _version_3(place, f"{level}/zarr.json") if version_3 else _version_2(place, f"{level}/.zarray")
    array.check_files()
    return array


def _sizes(shape: Any, chunks: Any, file: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    for sizes in (shape, chunks):
        if not isinstance(sizes, list) or not all(type(n) is int and n > 0 for n in sizes):
            raise CacappError(f"corrupt: {file} declares the size {sizes!r:.60}; export it again")
    if not 2 <= len(shape) <= 5 or len(chunks) != len(shape):
        raise CacappError(f"corrupt: {file} has {len(shape)} axes and chunks of {len(chunks)}; export it again")
    check_plane_size(*shape[-2:])
    if math.prod(shape[:-2]) > _MAX_PLANES:
        raise CacappError(f"declares {math.prod(shape[:-2])} planes; export the frames to a folder each")
    return tuple(shape), tuple(chunks)


def _check_chunk_size(chunks: Sequence[int], dtype: np.dtype[Any]) -> None:
    if math.prod(chunks) * dtype.itemsize > _MAX_CHUNK_BYTES:
        raise CacappError(f"declares chunks of {' x '.join(map(str, chunks))}; export it with smaller ones")


def _unread(name: Any) -> CacappError:
    return CacappError(f"packed with the codec {name!r:.40}, which is not read; write it with blosc, zlib or zstd, without filters")


def _version_2(folder: Path, file: str) -> ZarrArray:
    array = read_json(folder / ".zarray")
    if not {"shape", "chunks", "dtype"} <= array.keys():
        raise CacappError(f"corrupt: {file} is missing or incomplete; export it again")
    shape, chunks = _sizes(array["shape"], array["chunks"], file)
    dtype = array["dtype"]
    if not isinstance(dtype, str) or not re.fullmatch(r"[<>|][buif][1248]", dtype):
        raise CacappError(f"pixels are {dtype!r:.40}; uint8 and uint16 are read: convert to 16-bit")
    packed = [array.get("compressor"), *(array.get("filters") or [])]
    names = [c.get("id") if isinstance(c, dict) else c for c in packed]
    unread = [n for i, n in enumerate(names) if not (i == 0 and n is None) and n not in (_COMPRESSORS if i == 0 else _FILTERS)]
    if unread:
        raise _unread(unread[0])
    _check_chunk_size(chunks, np.dtype(dtype))
    codecs = [{"name": c["id"], "configuration": {k: v for k, v in c.items() if k != "id"}} for c in [*packed[1:], packed[0]] if c]
    turned = [{"name": "transpose", "configuration": {"order": list(range(len(shape)))[::-1]}}] if array.get("order") == "F" else []
    separator = array.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise CacappError(f"corrupt: {file} separates by {separator!r:.20}; export it again")
    return ZarrArray(folder, file, shape, chunks, chunks, np.dtype(dtype), "", separator, [*turned, {"name": "bytes"}, *codecs])


def _version_3(folder: Path, file: str) -> ZarrArray:
    array = read_json(folder / "zarr.json")
    try:
        grid, key = array["chunk_grid"], array.get("chunk_key_encoding") or {"name": "default"}
        shape, files = _sizes(array["shape"], grid["configuration"]["chunk_shape"], file)
        codecs, data_type = [_checked(c) for c in array["codecs"]], array["data_type"]
        if grid["name"] != "regular" or key["name"] not in ("default", "v2"):
            raise CacappError("keeps its chunks in a grid or under names that are not read; write it as OME-Zarr 0.5 with a regular grid")
        separator = (key.get("configuration") or {}).get("separator", "/" if key["name"] == "default" else ".")
        chunks, index, first = files, [], False
        if [c["name"] for c in codecs] == ["sharding_indexed"]:
            sharding = codecs[0]["configuration"]
            chunks = _sizes(array["shape"], sharding["chunk_shape"], file)[1]
            codecs, index = ([_checked(c) for c in sharding[name]] for name in ("codecs", "index_codecs"))
            first = sharding.get("index_location", "end") == "start"
            if any(s % c for s, c in zip(files, chunks, strict=True)) or [c["name"] for c in index] not in (["bytes"], ["bytes", "crc32c"]):
                raise CacappError(f"corrupt: {file} declares shards that are not whole chunks; export it again")
    except (KeyError, TypeError, AttributeError):
        raise CacappError(f"corrupt: {file} is missing or incomplete; export it again") from None
    if not isinstance(data_type, str) or not re.fullmatch(r"bool|u?int(8|16|32|64)|float(32|64)", data_type) or separator not in (".", "/"):
        raise CacappError(f"pixels are {data_type!r:.40}; uint8 and uint16 are read: convert to 16-bit")
    dtype = np.dtype(data_type)
    endian = next((c.get("configuration", {}).get("endian", "little") for c in codecs if c["name"] == "bytes"), None)
    names = [c["name"] for c in codecs]
    if names.count("bytes") != 1 or [n for n in names[: names.index("bytes")] if n != "transpose"]:
        raise _unread(next((n for n in names if n not in ("bytes", *_COMPRESSORS_3)), "none"))
    for turn in codecs[: names.index("bytes")]:
        if sorted(turn.get("configuration", {}).get("order", ())) != list(range(len(shape))) or names.count("transpose") > 1:
            raise _unread("transpose")
    _check_chunk_size(chunks, dtype)
    _check_chunk_size(files, dtype)
    prefix = f"c{separator}" if key["name"] == "default" else ""
    stored = dtype.newbyteorder(">" if endian == "big" else "<")
    return ZarrArray(folder, file, shape, chunks, files, stored, prefix, separator, codecs, index, first)


def _checked(codec: Any) -> dict[str, Any]:
    """Return a codec of version 3 without the settings that only a writer needs. Raises CacappError for one that is not read."""
    known = ("bytes", "transpose", "crc32c", "sharding_indexed", *_COMPRESSORS_3)
    name = codec.get("name") if isinstance(codec, dict) else codec
    if name not in known:
        raise _unread(name)
    kept = {} if name in _COMPRESSORS_3 else codec.get("configuration") or {}
    return {"name": name, "configuration": kept}
