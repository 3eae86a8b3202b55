"""Small real files of every format that frames are read from, each as {path in its folder: bytes}."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import zarr

from cacapp.types import CHANNELS, Array
from tests.readers import zarr_3

Files = Mapping[str, bytes]
HEIGHT, WIDTH = 40, 56


def stack(dtype: str = "uint16", seed: int = 0) -> Array:
    """(5, HEIGHT, WIDTH): a level of its own for each channel, with noise so that nothing compresses to nothing."""
    rng = np.random.default_rng(seed)
    level = np.arange(1, 6)[:, None, None] * (40 if dtype == "uint8" else 9000)
    return (level + rng.integers(0, 30, (5, HEIGHT, WIDTH))).astype(dtype)


def _ome(path: Path, seed: int, dtype: str = "uint16", **how: Any) -> None:
    meta = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}, "PhysicalSizeX": 0.12, "PhysicalSizeY": 0.12}
    meta |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path / "f.ome.tif", stack(dtype, seed), ome=True, photometric="minisblack", metadata=meta, **how)


def _scenes(path: Path, seed: int) -> None:
    with tifffile.TiffWriter(path / "f.ome.tif", ome=True) as tiff:
        for i, name in enumerate(("left", "right")):
            meta = {"axes": "CYX", "Name": name, "Channel": {"Name": list(CHANNELS)}}
            tiff.write(stack(seed=2 * seed + i), metadata=meta, photometric="minisblack")


def _imagej(path: Path, seed: int, byteorder: Any = ">") -> None:
    meta = {"axes": "CYX", "Labels": list(CHANNELS), "unit": "micron"}
    tifffile.imwrite(path / "f.tif", stack(seed=seed), imagej=True, byteorder=byteorder, metadata=meta, resolution=(1 / 0.12, 1 / 0.12))


def _plain(path: Path, seed: int) -> None:
    tifffile.imwrite(path / "f.tif", stack(seed=seed), photometric="minisblack", metadata={"axes": "CYX", "Labels": list(CHANNELS)})


def _series(path: Path, seed: int, suffix: str, dtype: str, colour: bool = False, options: tuple[int, ...] = ()) -> None:
    for i, (name, plane) in enumerate(zip(CHANNELS, stack(dtype, seed), strict=True)):
        image = plane
        if colour:
            image = np.zeros((*plane.shape, 3), plane.dtype)
            image[..., i % 3] = plane
        assert cv2.imwrite(str(path / f"f_{name}{suffix}"), image, list(options))


def _zarr(path: Path, seed: int, compressor: Any, separator: str = "/") -> None:
    store = zarr.NestedDirectoryStore(str(path / "f.zarr")) if separator == "/" else zarr.DirectoryStore(str(path / "f.zarr"))
    group = zarr.open_group(store, mode="w")
    group.create_dataset("0", data=stack(seed=seed), chunks=(1, 24, 32), dimension_separator=separator, compressor=compressor)
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.12, 0.12]}]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    group.attrs["omero"] = {"channels": [{"label": n} for n in CHANNELS]}


def _zarr_3(path: Path, seed: int, shards: tuple[int, ...] = ()) -> None:
    zarr_3.write(path / "f.zarr", stack(seed=seed), [zarr_3.LITTLE, zarr_3.ZSTD] if shards else [zarr_3.LITTLE], shards, level="0")


def _codec(name: str, **how: Any) -> Any:
    import numcodecs

    return numcodecs.get_codec({"id": name, **how})


WRITERS: Mapping[str, Callable[[Path, int], None]] = {
    "ome-tiff": _ome,
    "ome-tiff-8-bit": lambda path, seed: _ome(path, seed, "uint8"),
    "ome-tiff-deflate": lambda path, seed: _ome(path, seed, compression="zlib"),
    "ome-tiff-deflate-predictor": lambda path, seed: _ome(path, seed, compression="zlib", predictor=True),
    "ome-tiff-lzw": lambda path, seed: _ome(path, seed, compression="lzw"),
    "ome-tiff-zstd": lambda path, seed: _ome(path, seed, compression="zstd"),
    "ome-tiff-tiles": lambda path, seed: _ome(path, seed, tile=(16, 16)),
    "ome-tiff-tiles-deflate": lambda path, seed: _ome(path, seed, tile=(16, 16), compression="zlib"),
    "ome-tiff-strips": lambda path, seed: _ome(path, seed, rowsperstrip=16),
    "ome-tiff-jpeg": lambda path, seed: _ome(path, seed, "uint8", compression="jpeg"),
    "ome-bigtiff": lambda path, seed: _ome(path, seed, bigtiff=True),
    "ome-tiff-big-endian": lambda path, seed: _ome(path, seed, byteorder=">"),
    "ome-tiff-scenes": _scenes,
    "imagej-stack": _imagej,
    "imagej-stack-little-endian": lambda path, seed: _imagej(path, seed, "<"),
    "plain-stack": _plain,
    "tiff-series": lambda path, seed: _series(path, seed, ".tif", "uint16"),
    "png-series": lambda path, seed: _series(path, seed, ".png", "uint16"),
    "png-series-8-bit": lambda path, seed: _series(path, seed, ".png", "uint8"),
    "png-series-colour": lambda path, seed: _series(path, seed, ".png", "uint8", True),
    "jpeg-series": lambda path, seed: _series(path, seed, ".jpg", "uint8", False, (cv2.IMWRITE_JPEG_QUALITY, 95)),
    "ome-zarr": lambda path, seed: _zarr(path, seed, None),
    "ome-zarr-blosc": lambda path, seed: _zarr(path, seed, _codec("blosc")),
    "ome-zarr-zlib": lambda path, seed: _zarr(path, seed, _codec("zlib"), "."),
    "ome-zarr-0.5": lambda path, seed: _zarr_3(path, seed),
    "ome-zarr-0.5-shards": lambda path, seed: _zarr_3(path, seed, (5, 40, 64)),
    "ome-zarr-zstd": lambda path, seed: _zarr(path, seed, _codec("zstd", checksum=True)),
}

CHECKSUMMED = {n for n in WRITERS if "deflate" in n or n.startswith("png") or n in ("ome-zarr-zlib", "ome-zarr-zstd")}
"""Formats in which the pixels carry a checksum (Adler-32, CRC-32, XXH64): any change of them can be noticed."""


@cache
def original(name: str, seed: int = 0) -> Files:
    """The files of one frame (two for scenes) in a format of WRITERS."""
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[name](Path(folder), seed)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
