"""Small files of the built-in formats, for the contract suite: two channels of noise, 0.2 µm a pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cacapp.types import Array

CHANNELS = ("DAPI", "red")
PIXEL_UM = 0.2


def example_pixels() -> Array:
    """Return (2, 1, 360, 400) uint16, the same each time."""
    return np.random.default_rng(7).integers(90, 4000, (2, 1, 360, 400)).astype(np.uint16)


def write_tiff(folder: Path) -> Path:
    """Write an OME-TIFF."""
    import tifffile

    path = folder / "example.ome.tif"
    size = {"PhysicalSizeX": PIXEL_UM, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": PIXEL_UM, "PhysicalSizeYUnit": "µm"}
    metadata = {"axes": "CZYX", "Channel": {"Name": list(CHANNELS)}, **size}
    tifffile.imwrite(path, example_pixels(), ome=True, photometric="minisblack", metadata=metadata)
    return path


def write_zarr(folder: Path) -> Path:
    """Write an OME-Zarr 0.4 of one chunk a channel, not packed."""
    path, pixels = folder / "example.zarr", example_pixels()[:, 0]
    (path / "0").mkdir(parents=True)
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    scale = [{"type": "scale", "scale": [1, PIXEL_UM, PIXEL_UM]}]
    multiscale = {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    about = {"multiscales": [multiscale], "omero": {"channels": [{"label": name} for name in CHANNELS]}}
    array: dict[str, object] = {"shape": list(pixels.shape), "chunks": [1, *pixels.shape[1:]], "dtype": "<u2", "order": "C"}
    array |= {"zarr_format": 2, "compressor": None, "filters": None, "fill_value": 0}
    for name, content in ((".zgroup", {"zarr_format": 2}), (".zattrs", about), ("0/.zarray", array)):
        (path / name).write_text(json.dumps(content))
    for channel, plane in enumerate(pixels):
        (path / "0" / f"{channel}.0.0").write_bytes(plane.astype("<u2").tobytes())
    return path


def write_picture(folder: Path) -> Path:
    """Write a 16-bit PNG of one channel."""
    import cv2

    path = folder / "example.png"
    path.write_bytes(cv2.imencode(".png", example_pixels()[0, 0])[1].tobytes())
    return path
