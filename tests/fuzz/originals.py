"""Small real files of every format that frames are read from, each as {path in its folder: bytes}."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numcodecs
import numpy as np
import tifffile

from cacapp.types import CHANNELS, Array
from tests.readers import zarr_2, zarr_3

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


def _micro_manager(path: Path, seed: int) -> None:
    with tifffile.TiffWriter(path / "f.tif") as writer:
        for c in (3, 1, 4, 0, 2):
            about = {"ChannelIndex": c, "SliceIndex": 0, "FrameIndex": 0, "Channel": CHANNELS[c], "PixelSizeUm": 0.12, "XPositionUm": 10.5}
            extra = [(51123, 2, 0, json.dumps(about), True)]
            writer.write(stack(seed=seed)[c], photometric="minisblack", metadata=None, contiguous=False, extratags=extra)


def _metaseries(path: Path, seed: int) -> None:
    """MetaMorph's files of one channel each, whose names are in their XML alone."""
    for i, (name, plane) in enumerate(zip(CHANNELS, stack(seed=seed), strict=True), 1):
        values = {"_IllumSetting_": name, "spatial-calibration-state": "on", "spatial-calibration-units": "um"}
        values |= {"spatial-calibration-x": "0.12", "spatial-calibration-y": "0.12", "stage-position-x": "5", "stage-position-y": "6"}
        text = "".join(f'<prop id="{k}" type="string" value="{v}"/>' for k, v in values.items())
        tifffile.imwrite(path / f"f_w{i}.tif", plane, description=f"<MetaData><PlaneInfo>{text}</PlaneInfo></MetaData>", metadata=None)


def _pyramid(path: Path, seed: int) -> None:
    with tifffile.TiffWriter(path / "f.ome.tif", ome=True) as writer:
        about = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
        writer.write(stack(seed=seed), photometric="minisblack", metadata=about, subifds=1)
        writer.write(stack(seed=seed)[:, ::2, ::2], photometric="minisblack", subfiletype=1)


def _series(path: Path, seed: int, suffix: str, dtype: str, colour: bool = False, options: tuple[int, ...] = ()) -> None:
    for i, (name, plane) in enumerate(zip(CHANNELS, stack(dtype, seed), strict=True)):
        image = plane
        if colour:
            image = np.zeros((*plane.shape, 3), plane.dtype)
            image[..., i % 3] = plane
        assert cv2.imwrite(str(path / f"f_{name}{suffix}"), image, list(options))


def _zarr(path: Path, seed: int, compressor: Any, separator: str = "/") -> None:
    zarr_2.write(path / "f.zarr", stack(seed=seed), chunks=(1, 24, 32), compressor=compressor, separator=separator)


def _zarr_3(path: Path, seed: int, shards: tuple[int, ...] = (), crc: bool = False) -> None:
    codecs = [zarr_3.LITTLE, *([zarr_3.ZSTD] if shards else []), *([zarr_3.CRC] if crc else [])]
    zarr_3.write(path / "f.zarr", stack(seed=seed), codecs, shards, level="0")


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
    "micro-manager-stack": _micro_manager,
    "metaseries-tiff": _metaseries,
    "ome-tiff-pyramid": _pyramid,
    "plain-stack": _plain,
    "tiff-series": lambda path, seed: _series(path, seed, ".tif", "uint16"),
    "png-series": lambda path, seed: _series(path, seed, ".png", "uint16"),
    "png-series-8-bit": lambda path, seed: _series(path, seed, ".png", "uint8"),
    "png-series-colour": lambda path, seed: _series(path, seed, ".png", "uint8", True),
    "jpeg-series": lambda path, seed: _series(path, seed, ".jpg", "uint8", False, (cv2.IMWRITE_JPEG_QUALITY, 95)),
    "ome-zarr": lambda path, seed: _zarr(path, seed, None),
    "ome-zarr-blosc": lambda path, seed: _zarr(path, seed, numcodecs.Blosc()),
    "ome-zarr-zlib": lambda path, seed: _zarr(path, seed, numcodecs.Zlib(), "."),
    "ome-zarr-0.5": lambda path, seed: _zarr_3(path, seed),
    "ome-zarr-0.5-shards": lambda path, seed: _zarr_3(path, seed, (5, 40, 64)),
    "ome-zarr-0.5-crc32c": lambda path, seed: _zarr_3(path, seed, crc=True),
    "ome-zarr-0.5-shards-crc32c": lambda path, seed: _zarr_3(path, seed, (5, 40, 64), crc=True),
    "ome-zarr-zstd": lambda path, seed: _zarr(path, seed, numcodecs.Zstd(checksum=True)),
}

_CHECKED = ("deflate", "png", "zlib", "zarr-zstd", "crc32c")
CHECKSUMMED = {n for n in WRITERS if any(part in n for part in _CHECKED)}
"""Formats in which the pixels carry a checksum (Adler-32, CRC-32, CRC-32C, XXH64): any change of them can be noticed."""


@cache
def original(name: str, seed: int = 0) -> Files:
    """The files of one frame (two for scenes) in a format of WRITERS."""
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[name](Path(folder), seed)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}
