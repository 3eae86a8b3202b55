"""TIFF and OME-TIFF through aicsimageio: description of a file, and its planes one at a time."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.frames.scene import Scene, check_plane_size, duration_ms, length_um, pixel_size_xy_um
from cacapp.frames.tiff_structure import check_structure
from cacapp.types import Array

SUFFIXES = (".tif", ".tiff")
_KNOWN_AXES = set("TCZYXS")
# Fiji prefixes slice labels with the position, "c:1/5 z:1/1 - DAPI".
_SLICE_POSITION = re.compile(r"^(?:[czt]:\d+/\d+\s*)+-\s*")


def _plane_reader(reader: Any, key: str, samples: bool) -> Callable[[int, int], Array]:
    def read(index: int, z: int) -> Array:
        if reader.current_scene != key:
            reader.set_scene(key)
        where = {"S": index, "C": 0} if samples else {"C": index}
        # One task: a scheduler's threads would only cost.
        plane: Array = reader.get_image_dask_data("YX", T=0, Z=z, **where).compute(scheduler="synchronous")
        return plane

    return read


def _big_endian_reader(path: Path, series: Any, axes: str) -> Callable[[int, int], Array] | None:
    """Return a reader of uncompressed big-endian planes, which Fiji writes and aicsimageio's tifffile cannot read with numpy 2.

    None where the series is not of that kind: what is compressed or tiled, tifffile reads.
    """
    pages = list(series.pages)
    if series.keyframe.parent.byteorder != ">" or not series.keyframe.is_contiguous:
        return None
    leading = [a for a in axes if a not in "YXS"]
    lengths = [n for a, n in zip(axes, series.shape, strict=True) if a in leading]
    inner = [a for a in axes if a in "YXS"]
    shape = [n for a, n in zip(axes, series.shape, strict=True) if a in inner]
    count = math.prod(shape)
    dtype = np.dtype(series.dtype).newbyteorder(">")
    if series.dataoffset is not None:
        offsets = [series.dataoffset + i * count * dtype.itemsize for i in range(math.prod(lengths))]
    elif len(pages) == math.prod(lengths) and all(p.is_contiguous for p in pages):
        offsets = [p.dataoffsets[0] for p in pages]
    else:
        return None

    def read(index: int, z: int) -> Array:
        where = {"C": 0 if "S" in inner else index, "Z": z}
        number = int(np.ravel_multi_index([where.get(a, 0) for a in leading], lengths)) if leading else 0
        block = np.fromfile(path, dtype, count, offset=offsets[number]).reshape(shape)
        if "S" in inner:
            block = np.take(block, index, axis=inner.index("S"))
        return block.byteswap(inplace=True).view(dtype.newbyteorder("="))

    return read


def _axes(series: Any) -> str:
    """Return the axes of a tifffile series in aicsimageio's letters; one unlabelled axis is that of the channels."""
    axes = str(series.axes)
    unknown = [a for a in axes if a not in _KNOWN_AXES]
    if not unknown:
        return axes
    if len(unknown) > 1 or "C" in axes:
        raise CacappError(f"has axes that do not say what they are ({axes}, {series.shape}); export it as OME-TIFF")
    return axes.replace(unknown[0], "C")


def _check_ome_is_one_file(description: str) -> None:
    try:
        root = ET.fromstring(description)  # noqa: S314 expat expands no external entities; size is bounded by the file's
    except ET.ParseError:
        return
    if any(tag.tag.endswith("}BinaryOnly") for tag in root):
        raise CacappError("one part of an OME-TIFF set, with its metadata in another file; export each frame as one OME-TIFF")
    uuids = {tag.text for tag in root.iter() if tag.tag.endswith("}UUID")}
    if len(uuids) > 1:
        raise CacappError(f"one of {len(uuids)} files of an OME-TIFF set; export each frame as one OME-TIFF")


def _labels(tiff: Any, count: int, page: int) -> list[str]:
    """Return channel names of ImageJ (slice labels) or tifffile (JSON description) in a plain TIFF; empty where none."""
    found: Any = (tiff.imagej_metadata or {}).get("Labels")
    if found is None and tiff.shaped_metadata and page < len(tiff.shaped_metadata):
        meta = tiff.shaped_metadata[page]
        channel = meta.get("Channel")
        found = meta.get("Labels") or (channel.get("Name") if isinstance(channel, dict) else None)
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) < count:
        return []
    return [_SLICE_POSITION.sub("", str(label).split("\n")[0]).strip() for label in found[:count]]


def _imagej_pixel_size(tiff: Any) -> tuple[float, float] | None:
    unit = (tiff.imagej_metadata or {}).get("unit")
    if not unit:
        return None
    tags = tiff.pages[0].tags
    edges = []
    for name in ("XResolution", "YResolution"):
        px, per = tags[name].value if name in tags else (0, 1)
        edges.append(length_um(per / px, str(unit)) if px else None)
    return pixel_size_xy_um(*edges)


def _unit(value: Any) -> str | None:
    return None if value is None else str(getattr(value, "value", value))


def _ome_scene(image: Any) -> dict[str, Any]:
    """Read pixel size, exposures and stage position of an OME image element."""
    pixels = image.pixels
    x_um = length_um(pixels.physical_size_x, _unit(pixels.physical_size_x_unit))
    y_um = length_um(pixels.physical_size_y, _unit(pixels.physical_size_y_unit))
    exposures: list[float | None] = [None] * len(pixels.channels)
    stage: tuple[float | None, float | None] = (None, None)
    for plane in pixels.planes:
        exposure = duration_ms(plane.exposure_time, _unit(plane.exposure_time_unit))
        if plane.the_c < len(exposures) and exposures[plane.the_c] is None:
            exposures[plane.the_c] = exposure
        if stage == (None, None):
            stage = (
                length_um(plane.position_x, _unit(plane.position_x_unit)),
                length_um(plane.position_y, _unit(plane.position_y_unit)),
            )
    return {"pixel_size_xy_um": pixel_size_xy_um(x_um, y_um), "exposures_ms": tuple(exposures), "stage_xy_um": stage}


def _titles(keys: Sequence[str], names: Sequence[str | None]) -> list[str]:
    """Return a short name for each scene: that of the file where all differ, else scene0, scene1 ..."""
    if len(keys) == 1:
        return [""]
    clean = [re.sub(r"[^\w.-]+", "-", name or "").strip("-") for name in names]
    own = all(clean) and max(Counter(clean).values()) == 1
    return clean if own else [f"scene{i}" for i in range(len(keys))]


def _scene(path: Path, reader: Any, series: Any, axes: str, key: str, title: str, channels: Sequence[str], **known: Any) -> Scene:
    reader.set_scene(key)
    dims = reader.dims
    samples = int(getattr(dims, "S", 1))
    return Scene(
        key="" if not title else key,
        title=title,
        dtype=np.dtype(series.dtype).newbyteorder("="),
        height_px=int(dims.Y),
        width_px=int(dims.X),
        channels=tuple(channels) or tuple(str(c) for c in reader.channel_names or ("",)),
        read=_big_endian_reader(path, series, axes) or _plane_reader(reader, key, samples > 1),
        n_time=int(getattr(dims, "T", 1)),
        n_z=int(getattr(dims, "Z", 1)),
        n_samples=samples,
        **known,
    )


def _check_series(tiff: Any, size: int) -> None:
    # tifffile falls back to the first plane where a stack with one directory for all planes is cut short.
    declared = int((tiff.imagej_metadata or {}).get("images", 1))
    present = sum(math.prod(n for a, n in zip(s.axes, s.shape, strict=True) if a not in "YXS") for s in tiff.series)
    if present < declared:
        raise CacappError(f"truncated: it declares {declared} planes and holds {present}; copy or export it again")
    for series in tiff.series:
        shape = dict(zip(series.axes, series.shape, strict=True))
        check_plane_size(int(shape.get("Y", 0)), int(shape.get("X", 0)))
        # Large ImageJ stacks have one directory for all planes, so the directories alone do not tell.
        if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
            raise CacappError(f"truncated: pixels lie beyond its end ({size} bytes); copy or export it again")
        if any(page is None for page in series.pages):
            raise CacappError(f"declares {len(series.pages)} planes and does not hold them all; copy or export it again")


def _ome_scenes(path: Path, tiff: Any) -> list[Scene] | None:
    """Return scenes from the OME-XML, or None where aicsimageio cannot use it."""
    from aicsimageio.exceptions import UnsupportedFileFormatError
    from aicsimageio.readers.ome_tiff_reader import OmeTiffReader

    _check_ome_is_one_file(tiff.pages[0].description)
    try:
        reader = OmeTiffReader(path)
    except UnsupportedFileFormatError:
        return None
    images = reader.ome_metadata.images
    keys = list(reader.scenes)
    if len(keys) != len(tiff.series) or len(set(keys)) != len(keys):
        raise CacappError(f"has OME metadata for {len(keys)} images and holds {len(tiff.series)}; export it again")
    titles = _titles(keys, [image.name for image in images])
    rows = zip(keys, tiff.series, titles, images, strict=True)
    return [_scene(path, reader, s, s.axes, k, t, [c.name or c.id for c in i.pixels.channels], **_ome_scene(i)) for k, s, t, i in rows]


def tiff_scenes(path: Path) -> list[Scene]:
    """Read the scenes of a TIFF or OME-TIFF.

    Channel names come from the OME-XML, else from ImageJ's slice labels, else they are those that aicsimageio invents.

    Raises:
        CacappError: the file is empty, truncated, damaged, no TIFF, or one of a set.
    """
    import tifffile

    check_structure(path)
    size = path.stat().st_size
    with tifffile.TiffFile(path) as tiff:
        if "<!DOCTYPE" in tiff.pages[0].description or "<!ENTITY" in tiff.pages[0].description:
            raise CacappError("has OME metadata that declares entities, which microscopes never write; export it again")
        if tiff.is_ome:
            _check_ome_is_one_file(tiff.pages[0].description)
        _check_series(tiff, size)
        scenes = _ome_scenes(path, tiff) if tiff.is_ome else None
        if scenes is not None:
            return scenes

        from aicsimageio.readers.tiff_reader import TiffReader

        axes = [_axes(series) for series in tiff.series]
        reader = TiffReader(path, dim_order=axes)
        keys = list(reader.scenes)
        pixel_size = _imagej_pixel_size(tiff)
        result = []
        for i, (key, series, title) in enumerate(zip(keys, tiff.series, _titles(keys, [None] * len(keys)), strict=True)):
            lengths = dict(zip(axes[i], series.shape, strict=True))
            count = lengths.get("C", 1)
            n_slices = lengths.get("Z", 1) if count == 1 and lengths.get("S", 1) == 1 else 1
            slices = tuple(_labels(tiff, n_slices, i) or [""] * n_slices) if n_slices > 1 else ()
            names = _labels(tiff, count, i) if not slices else []
            result.append(_scene(path, reader, series, axes[i], key, title, names, pixel_size_xy_um=pixel_size, slices=slices))
        return result
