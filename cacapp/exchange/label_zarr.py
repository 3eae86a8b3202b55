"""OME-Zarr (NGFF 0.4): pixels of a frame, with its nuclei as labels."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cacapp import __version__
from cacapp.exceptions import CacappError
from cacapp.exchange.nucleus import Nucleus
from cacapp.types import Array, Frame, label_image

VERSION = "0.4"
LABELS, NUCLEI = "labels", "nuclei"
CHUNK_PX = 1024
SMALLEST_PX = 512
"""Each level has half the edge of the one before, down to this."""
COLOURS = {"DAPI": "0000FF", "aqua": "00FFFF", "green": "00FF00", "gold": "FFD700", "red": "FF0000"}


def write_zarr(path: Path, frame: Frame, nuclei: Sequence[Nucleus]) -> None:
    """Write a frame and its nuclei into the folder ``path``, complete or not at all; replace one that this program wrote.

    ``labels/nuclei`` is a (Y, X) int32 label image, the value being the cell's label, with class and counts as its properties. Arrays are
    written with tensorstore, which is the same on every Python; zarr is not, for aicsimageio keeps it old where it can be installed.

    Raises:
        CacappError: another program's folder stands there, or the frame's own pixels; the disk is full; pixels cannot be read.
    """
    path = path.absolute()
    if path.exists() and (not _is_ours(path) or str(path) in {str(Path(c.uri).absolute()) for c in frame.source.channels}):
        raise CacappError(f"{path} is not an export of cacapp, so it is not replaced; choose another folder")
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part, frame, nuclei)
        shutil.rmtree(path, ignore_errors=True)
        part.replace(path)
    except OSError as error:
        raise CacappError(f"{path} cannot be written: {error.strerror or error}; choose another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def labels_in(path: Path) -> Path:
    """Read the label image in an OME-Zarr folder: the only one, or the one called ``nuclei``.

    Raises:
        CacappError: none, or several of other names.
    """
    try:
        names = json.loads((path / LABELS / ".zattrs").read_bytes())["labels"]
        names = [str(name) for name in names]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise CacappError(f"{path}: has no list of label images (labels/.zattrs, Zarr version 2); export it as OME-Zarr 0.4") from None
    chosen = names[0] if len(names) == 1 else NUCLEI
    if chosen not in names:
        raise CacappError(f"{path}: has the label images {', '.join(names) or '(none)'}; call the one with the nuclei {NUCLEI!r}")
    folder = (path / LABELS / chosen).resolve()
    if not folder.is_relative_to(path.resolve()) or not folder.is_dir():
        raise CacappError(f"{path}: has no label image {chosen!r}; copy it again")
    return folder


def _is_ours(path: Path) -> bool:
    try:
        return "cacapp" in json.loads((path / ".zattrs").read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _write(path: Path, frame: Frame, nuclei: Sequence[Nucleus]) -> None:
    size_um = frame.pixel_size_um
    planes = np.stack([frame.channel(name) for name in frame.channel_names])
    datasets = _write_levels(path, planes, size_um, _half_mean)
    channels = [
        {"label": name, "color": COLOURS.get(name, "FFFFFF"), "active": True, "window": _window(planes[i])}
        for i, name in enumerate(frame.channel_names)
    ]
    about_frame = {
        "multiscales": [_multiscale(frame.source.name, "cyx", datasets, size_um)],
        "omero": {"channels": channels, "version": VERSION},
        "cacapp": {"version": __version__, "frame": frame.source.name, "sha256": frame.sha256},
    }
    image = label_image([n.instance for n in nuclei], frame.height_px, frame.width_px, [n.label for n in nuclei])
    datasets = _write_levels(path / LABELS / NUCLEI, image, size_um, _half_nearest)
    properties = [{"label-value": n.label, "cell_id": n.cell_id, "class": n.call, "is_cac": n.is_cac, **n.counts} for n in nuclei]
    about = {"version": VERSION, "source": {"image": "../../"}} | ({"properties": properties} if properties else {})
    _write_group(path / LABELS / NUCLEI, {"multiscales": [_multiscale(NUCLEI, "yx", datasets, size_um)], "image-label": about})
    _write_group(path / LABELS, {"labels": [NUCLEI]})
    _write_group(path, about_frame)


def _write_group(folder: Path, attributes: dict[str, Any]) -> None:
    """Write the two files by which a folder is a group of Zarr version 2."""
    (folder / ".zgroup").write_text('{"zarr_format": 2}', "utf-8")
    (folder / ".zattrs").write_text(json.dumps(attributes, indent=1), "utf-8")


def _write_levels(folder: Path, pixels: Array, size_um: float | None, half: Callable[[Array], Array]) -> list[dict[str, Any]]:
    """Write the image and its halvings as arrays 0, 1 ... of a folder; return the ``datasets`` of its metadata."""
    datasets: list[dict[str, Any]] = []
    whole = pixels.shape
    while True:
        name = str(len(datasets))
        _write_array(folder / name, pixels)
        scale = [1.0] * (pixels.ndim - 2) + [w / n * (size_um or 1.0) for w, n in zip(whole[-2:], pixels.shape[-2:], strict=True)]
        datasets.append({"path": name, "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        if min(pixels.shape[-2:]) < 2 * SMALLEST_PX:
            return datasets
        pixels = half(pixels)


def _write_array(folder: Path, pixels: Array) -> None:
    """Write an array of Zarr version 2, every chunk of it. Raises OSError where it cannot be written."""
    import tensorstore

    metadata = {
        "shape": pixels.shape,
        "chunks": [*(1 for _ in pixels.shape[:-2]), *(min(n, CHUNK_PX) for n in pixels.shape[-2:])],
        "dtype": pixels.dtype.newbyteorder("<").str,
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
        "dimension_separator": "/",
        "fill_value": 0,
    }
    kvstore = {"driver": "file", "path": str(folder)}
    try:
        array = tensorstore.open(
            {"driver": "zarr", "kvstore": kvstore, "metadata": metadata, "store_data_equal_to_fill_value": True}, create=True
        ).result()
        array.write(pixels).result()
    except Exception as error:  # of several kinds, and a line that holds the whole request
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


def _half_mean(planes: Array) -> Array:
    height, width = (n // 2 for n in planes.shape[-2:])
    return np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in planes])


def _half_nearest(labels: Array) -> Array:
    height, width = (n // 2 for n in labels.shape)
    halved: Array = labels[: 2 * height : 2, : 2 * width : 2]
    return halved


def _multiscale(name: str, axes: str, datasets: list[dict[str, Any]], size_um: float | None) -> dict[str, Any]:
    unit = {} if size_um is None else {"unit": "micrometer"}
    described = [{"name": a, "type": "channel"} if a == "c" else {"name": a, "type": "space", **unit} for a in axes]
    return {"version": VERSION, "name": name, "axes": described, "datasets": datasets}


def _window(plane: Array) -> dict[str, float]:
    """Return the grey values that a viewer shows first: the 1st to the 99.9th percentile of every eighth pixel."""
    start, end = np.percentile(plane[::8, ::8], (1, 99.9))
    return {"min": 0.0, "max": float(np.iinfo(plane.dtype).max), "start": float(start), "end": float(max(end, start + 1))}
