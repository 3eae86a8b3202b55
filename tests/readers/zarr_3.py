"""Writer of OME-Zarr 0.5, by the text of the Zarr 3 specification and apart from the reader."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np

from cacapp.types import CHANNELS, Array

ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
BLOSC = {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 0}}
GZIP = {"name": "gzip", "configuration": {"level": 5}}
LITTLE, BIG = ({"name": "bytes", "configuration": {"endian": e}} for e in ("little", "big"))
CRC = {"name": "crc32c"}
CHUNK = (1, 8, 16)


def packed(block: Array, codecs: list[dict[str, Any]]) -> bytes:
    raw = b""
    for codec in codecs:
        name = codec["name"]
        if name == "transpose":
            block = block.transpose(codec["configuration"]["order"])
        elif name == "bytes":
            raw = np.ascontiguousarray(block).astype(">u2" if codec["configuration"]["endian"] == "big" else "<u2").tobytes()
        elif name == "crc32c":
            raw += struct.pack("<I", google_crc32c.value(raw))
        else:
            raw = bytes(numcodecs.get_codec({"id": name}).encode(raw))
    return raw


def blocks(image: Array, shape: tuple[int, ...]) -> Any:
    """(index, block) of a regular grid, the blocks at the edges filled up with zeros."""
    counts = [-(-n // c) for n, c in zip(image.shape, shape, strict=True)]
    whole = np.zeros([n * c for n, c in zip(counts, shape, strict=True)], image.dtype)
    whole[tuple(slice(n) for n in image.shape)] = image
    for index in itertools.product(*map(range, counts)):
        yield index, whole[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, shape, strict=True))]


def shard(block: Array, codecs: list[dict[str, Any]], first: bool) -> bytes:
    chunks = [packed(chunk, codecs) for _, chunk in blocks(block, CHUNK)]
    at, index = (16 * len(chunks) + 4 if first else 0), b""
    for chunk in chunks:
        index += struct.pack("<QQ", at, len(chunk))
        at += len(chunk)
    index += struct.pack("<I", google_crc32c.value(index))
    return index + b"".join(chunks) if first else b"".join(chunks) + index


def write(
    path: Path, image: Array, codecs: list[dict[str, Any]], shards: tuple[int, ...] = (), first: bool = False, level: str = "full"
) -> Path:
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    scale = {"path": level, "coordinateTransformations": [{"type": "scale", "scale": [1, 0.12, 0.12]}]}
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [scale]}], "omero": {"channels": [{"label": n} for n in CHANNELS]}}
    grid = shards or CHUNK
    listed = codecs
    if shards:
        inside = {"chunk_shape": CHUNK, "codecs": codecs, "index_codecs": [LITTLE, CRC], "index_location": "start" if first else "end"}
        listed = [{"name": "sharding_indexed", "configuration": inside}]
    array = {"zarr_format": 3, "node_type": "array", "shape": image.shape, "data_type": image.dtype.name, "fill_value": 0, "codecs": listed}
    array |= {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}}, "chunk_key_encoding": {"name": "default"}}
    (path / level).mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}))
    (path / level / "zarr.json").write_text(json.dumps(array))
    for index, block in blocks(image, grid):
        file = path / level / "c" / "/".join(map(str, index))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(shard(block, codecs, first) if shards else packed(block, codecs))
    return path
