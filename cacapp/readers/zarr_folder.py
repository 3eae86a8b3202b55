"""OME-Zarr folders: NGFF 0.1 to 0.5, on Zarr versions 2 and 3."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from cacapp.exceptions import CacappError
from cacapp.readers.zarr_array import open_array, read_json
from cacapp.scene import Scene, length_um, pixel_size_xy_um
from cacapp.types import Array

MARKERS = (".zgroup", ".zarray", "zarr.json")
_METADATA = (".zattrs", "zarr.json")


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store, by its name or its marker files."""
    return path.is_dir() and (path.suffix == ".zarr" or any((path / m).is_file() for m in MARKERS))


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the OME metadata of a folder: of version 0.5 in zarr.json, else in .zattrs."""
    if (folder / "zarr.json").is_file():
        attributes = read_json(folder / "zarr.json").get("attributes")
        found = attributes.get("ome") if isinstance(attributes, dict) else None
        return found if isinstance(found, dict) else {}
    return read_json(folder / ".zattrs")


def _image_folders(path: Path) -> list[Path]:
    """Return the folders with one image each: the root, or its series 0, 1 ... (bioformats2raw)."""
    attributes = _attributes(path)
    if "plate" in attributes:
        raise CacappError("a plate; give the folders of its fields, e.g. A/1/0")
    if "multiscales" in attributes:
        return [path]
    numbered = [p for p in path.iterdir() if p.name.isdigit() and any((p / m).is_file() for m in _METADATA)]
    series = sorted(numbered, key=lambda p: int(p.name))
    if not series:
        raise CacappError("no OME-Zarr image: its metadata has no multiscales; export it again as OME-Zarr 0.4 or 0.5")
    return series


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


def _axes(multiscale: dict[str, Any], n: int) -> str:
    """Return the axes' letters; versions without names order them as TCZYX."""
    given = multiscale.get("axes") or list("tczyx"[-n:])
    axes = "".join(str(a.get("name") if isinstance(a, dict) else a) for a in given)
    if len(axes) != n or axes[-2:] != "yx" or len(set(axes)) != n or not set(axes) <= set("tczyx"):
        raise CacappError(f"has axes that are not read ({axes[:20]}); export it with t, c, z, y, x in this order")
    return axes


def _scene(folder: Path, key: str, title: str) -> Scene:
    attributes = _attributes(folder)
    multiscales = attributes.get("multiscales")
    if not isinstance(multiscales, list) or len(multiscales) != 1:
        number = len(multiscales) if isinstance(multiscales, list) else 0
        raise CacappError(f"holds {number} images in one folder; export each to its own")
    paths = [d.get("path") for d in multiscales[0].get("datasets", [])]
    level = paths[0] if paths else None
    if not isinstance(level, str) or not level or any(part in ("", ".", "..") for part in level.split("/")):
        raise CacappError(f"keeps its full size under {level!r:.40}, which is no folder of its own; export it again")
    array = open_array(folder, level)
    axes = _axes(multiscales[0], len(array.shape))
    length = dict(zip(axes, array.shape, strict=True))
    omero = attributes.get("omero")
    labels = [str(c.get("label") or "") for c in omero.get("channels", [])] if isinstance(omero, dict) else []
    n_channels = length.get("c", 1)

    def read(index: int, z: int) -> Array:
        at = {"t": 0, "c": index, "z": z}
        return array.read([at[axis] for axis in axes[:-2]])

    return Scene(
        key=key,
        title=title,
        dtype=array.dtype.newbyteorder("="),
        height_px=length["y"],
        width_px=length["x"],
        channels=tuple(labels) if len(labels) == n_channels else tuple(f"Channel:0:{i}" for i in range(n_channels)),
        read=read,
        n_time=length.get("t", 1),
        n_z=length.get("z", 1),
        pixel_size_xy_um=_pixel_size(multiscales[0]),
    )


def zarr_scenes(path: Path) -> list[Scene]:
    """Read the scenes of an OME-Zarr folder; series of one folder are called by their number.

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
