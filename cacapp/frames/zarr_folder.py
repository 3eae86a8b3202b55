"""OME-Zarr folders (NGFF 0.1 to 0.4, Zarr version 2) through aicsimageio."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.frames.scene import Scene, check_plane_size, length_um, pixel_size_xy_um
from cacapp.frames.unpacked_size import check_unpacked
from cacapp.types import Array

MARKERS = (".zgroup", ".zarray", "zarr.json")
_LEVEL = "0"
_COMPRESSORS = ("blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma")
_FILTERS = ("delta", "shuffle")
_MAX_PLANES = 65536
_MAX_NAMED = 1_000_000
_MAX_CHUNK_BYTES = 1 << 29


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store, by its name or its marker files."""
    return path.is_dir() and (path.suffix == ".zarr" or any((path / m).is_file() for m in MARKERS))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError, RecursionError):
        raise CacappError(f"corrupt: {path.name} cannot be read; export it again") from None
    return content if isinstance(content, dict) else {}


def _image_folders(path: Path) -> list[Path]:
    """Return the folders with one image each: the root, or its series 0, 1 ... (bioformats2raw)."""
    if (path / "zarr.json").is_file():
        raise CacappError("Zarr version 3, which aicsimageio does not read; write it as OME-Zarr 0.4 (Zarr version 2)")
    attributes = _json(path / ".zattrs")
    if "plate" in attributes:
        raise CacappError("a plate; give the folders of its fields, e.g. A/1/0")
    if "multiscales" in attributes:
        return [path]
    series = sorted((p for p in path.iterdir() if p.name.isdigit() and (p / ".zattrs").is_file()), key=lambda p: int(p.name))
    if not series:
        raise CacappError("no OME-Zarr image: .zattrs has no multiscales; export it again as OME-Zarr 0.4")
    return series


def _check_array(array: dict[str, Any]) -> np.dtype[Any]:
    """Return the array's pixel type. Raises CacappError for no image, a too large one, and codecs that could run code (pickle)."""
    shape, chunks = array["shape"], array["chunks"]
    for sizes in (shape, chunks):
        if not isinstance(sizes, list) or not all(type(n) is int and n > 0 for n in sizes):
            raise CacappError(f"corrupt: 0/.zarray declares the size {sizes!r:.60}; export it again")
    if not 2 <= len(shape) <= 5 or len(chunks) != len(shape):
        raise CacappError(f"corrupt: 0/.zarray has {len(shape)} axes and chunks of {len(chunks)}; export it again")
    check_plane_size(*shape[-2:])
    if math.prod(shape[:-2]) > _MAX_PLANES:
        raise CacappError(f"declares {math.prod(shape[:-2])} planes; export the frames to a folder each")
    dtype = array["dtype"]
    if not isinstance(dtype, str) or not re.fullmatch(r"[<>|][buif][1248]", dtype):
        raise CacappError(f"pixels are {dtype!r:.40}; uint8 and uint16 are read: convert to 16-bit")
    codecs = [array.get("compressor"), *(array.get("filters") or [])]
    names = [c.get("id") if isinstance(c, dict) else c for c in codecs]
    unread = [n for i, n in enumerate(names) if not (i == 0 and n is None) and n not in (_COMPRESSORS if i == 0 else _FILTERS)]
    if unread:
        raise CacappError(f"packed with the codec {unread[0]!r:.40}, which is not read; write it with blosc, zlib or zstd, without filters")
    if math.prod(chunks) * np.dtype(dtype).itemsize > _MAX_CHUNK_BYTES:
        raise CacappError(f"declares chunks of {' x '.join(map(str, chunks))}; export it with smaller ones")
    return np.dtype(dtype)


def _check_chunks(level: Path, array: dict[str, Any]) -> None:
    """Raise CacappError where a chunk file is absent (Zarr would read it as black), or is not of the size of a chunk when unpacked."""
    separator = array.get("dimension_separator", ".")
    counts = [math.ceil(s / c) for s, c in zip(array["shape"], array["chunks"], strict=True)]
    compressor = array.get("compressor")
    plain = compressor is None and not array.get("filters")
    nbytes = math.prod(array["chunks"]) * np.dtype(array["dtype"]).itemsize
    there = {p.relative_to(level).as_posix(): p.stat().st_size for p in level.rglob("*") if p.is_file() and not p.name.startswith(".")}
    if math.prod(counts) > max(len(there), _MAX_NAMED):
        raise CacappError(f"damaged: {math.prod(counts) - len(there)} of {math.prod(counts)} chunks are missing; copy it again")
    names = [separator.join(map(str, i)) for i in itertools.product(*(range(n) for n in counts))]
    wrong = [n for n in names if n not in there or there[n] == 0 or (plain and there[n] != nbytes)]
    if wrong:
        raise CacappError(f"damaged: {len(wrong)} of {math.prod(counts)} chunks are missing or cut short ({wrong[0]} ...); copy it again")
    if compressor is not None:
        for name in names:
            check_unpacked(compressor["id"], (level / name).read_bytes(), nbytes, f"chunk {name}")


def _pixel_size(multiscale: dict[str, Any]) -> tuple[float, float] | None:
    """Return the pixel size from the scale of the full-size level and of the whole image; needs a length as the axes' unit."""
    axes = multiscale.get("axes") or []
    if not all(isinstance(a, dict) for a in axes):
        return None
    edges = []
    for name in ("x", "y"):
        index = next((i for i, a in enumerate(axes) if a.get("name") == name), None)
        if index is None:
            return None
        size = None
        for step in (multiscale["datasets"][0], multiscale):
            for transform in step.get("coordinateTransformations") or []:
                if transform.get("type") == "scale":
                    size = (1.0 if size is None else size) * float(transform["scale"][index])
        edges.append(length_um(size, axes[index].get("unit")))
    return pixel_size_xy_um(*edges)


def _plane_reader(reader: Any) -> Callable[[int, int], Array]:
    def read(index: int, z: int) -> Array:
        plane: Array = reader.get_image_dask_data("YX", T=0, Z=z, C=index).compute(scheduler="synchronous")
        return plane

    return read


def _scene(folder: Path, key: str, title: str) -> Scene:
    from aicsimageio.readers.ome_zarr_reader import OmeZarrReader

    attributes = _json(folder / ".zattrs")
    multiscales = attributes.get("multiscales") or []
    if len(multiscales) != 1:
        raise CacappError(f"holds {len(multiscales)} images in one folder; export each to its own")
    paths = [d.get("path") for d in multiscales[0].get("datasets", [])]
    if not paths or paths[0] != _LEVEL:
        raise CacappError(
            f"keeps its full size under {paths[0] if paths else 'no path'!r} and not '0', which aicsimageio needs; export it again"
        )
    level = folder / _LEVEL
    array = _json(level / ".zarray")
    if not {"shape", "chunks", "dtype"} <= array.keys():
        raise CacappError("corrupt: 0/.zarray is missing or incomplete; export it again")
    dtype = _check_array(array)
    _check_chunks(level, array)
    omero = attributes.get("omero")
    labels = [str(c.get("label") or "") for c in omero.get("channels", [])] if isinstance(omero, dict) else []

    class Unnamed(OmeZarrReader):
        """Reader without channel names: without omero metadata aicsimageio recurses for ever in their search."""

        @property
        def channel_names(self) -> None:
            return None

    reader = Unnamed(folder)
    dims = reader.dims
    n_channels = int(getattr(dims, "C", 1))
    channels = tuple(labels) if len(labels) == n_channels else tuple(f"Channel:0:{i}" for i in range(n_channels))
    return Scene(
        key=key,
        title=title,
        dtype=dtype.newbyteorder("="),
        height_px=int(dims.Y),
        width_px=int(dims.X),
        channels=channels,
        read=_plane_reader(reader),
        n_time=int(getattr(dims, "T", 1)),
        n_z=int(getattr(dims, "Z", 1)),
        pixel_size_xy_um=_pixel_size(multiscales[0]),
    )


def zarr_scenes(path: Path) -> list[Scene]:
    """The scenes of an OME-Zarr folder; series of one folder are called by their number.

    Every chunk of the full-size level is looked for and every plane decoded once: damage shows here, not half-way through a run.

    Raises:
        CacappError: no OME-Zarr, corrupt, chunks missing, or of a version that is not read.
    """
    folders = _image_folders(path)
    # A series is found again by its number, even the only one.
    scenes = [_scene(f, "" if f == path else f.name, "" if len(folders) == 1 else f.name) for f in folders]
    for scene in scenes:
        for index, z in itertools.product(range(len(scene.channels)), range(scene.n_z)):
            scene.read(index, z)
    return scenes
