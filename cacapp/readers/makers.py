"""Makers' formats through aicsimageio, which is imported when such a file is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cacapp.api import Reader
from cacapp.exceptions import CacappError
from cacapp.scene import Scene, pixel_size_xy_um
from cacapp.types import Array

NEEDS: Mapping[str, str] = {".czi": "aicspylibczi", ".lif": "readlif", ".nd2": "nd2", ".dv": "mrc", ".r3d": "mrc"}
"""What aicsimageio needs for each format; an extra of cacapp brings it."""
INVENTED_UM = 1.0
"""Some libraries give this edge length where a file says none; it was not measured."""


def readable() -> tuple[str, ...]:
    """Return the suffixes of the formats for which everything is installed; nothing is imported."""
    if not installed("aicsimageio"):
        return ()
    return tuple(suffix for suffix, needed in NEEDS.items() if installed(needed))


def installed(package: str) -> bool:
    """Return whether a distribution is installed; its modules are not even looked for."""
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


class AicsimageioReader(Reader):
    """CZI, LIF, ND2 and DV through aicsimageio, each where its extra is installed, such as cacapp[czi]. Mosaics are stitched."""

    name: ClassVar[str] = "aicsimageio"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = readable()

    def scenes(self, path: Path) -> list[Scene]:
        names = _tried(lambda: tuple(map(str, _opened(path).scenes)))
        return [_tried(partial(_scene, path, number, name)) for number, name in enumerate(names)]


def _tried(work: Callable[[], Any]) -> Any:
    """Return the result of a library's code. Raises CacappError for anything it raises."""
    try:
        return work()
    except CacappError:
        raise
    except Exception as error:  # formats' libraries raise anything, from IndexError to RuntimeError
        text = " ".join(str(error).split())[:160]
        raise CacappError(f"aicsimageio cannot read it ({type(error).__name__}: {text}); export it as OME-TIFF") from error


def _opened(path: Path) -> Any:
    from aicsimageio.aics_image import AICSImage

    # a chunk for each plane: by default a chunk is a whole stack in z, which would be read for every plane of it
    return AICSImage(path, chunk_dims=["Y", "X"])


def _scene(path: Path, number: int, name: str) -> Scene:
    image = _opened(path)  # one for each scene: to change the scene of an image takes seconds
    image.set_scene(number)
    dims = image.dims
    names = [str(channel) for channel in image.channel_names or ()]
    n_channels = int(dims.C)
    names = names if len(names) == n_channels else [f"Channel:{number}:{c}" for c in range(n_channels)]
    sizes = image.physical_pixel_sizes
    n_samples = int(dims.S) if "S" in dims.order else 1
    exposures, stage = _from_czi(image.metadata, number, n_channels) if path.suffix.lower() == ".czi" else ((), (None, None))

    def plane(index: int, z: int) -> Array:
        if n_samples > 1:
            return np.asarray(image.get_image_dask_data("YXS", T=0, C=0, Z=z)[..., index].compute())
        return np.asarray(image.get_image_dask_data("YX", T=0, C=index, Z=z).compute())

    return Scene(
        key=f"{number} {name}",
        title=name,
        dtype=np.dtype(image.dtype),
        height_px=int(dims.Y),
        width_px=int(dims.X),
        channels=tuple(name or f"Channel:{number}:{c}" for c, name in enumerate(names)),
        read=lambda index, z: _tried(lambda: plane(index, z)),
        n_time=int(dims.T),
        n_z=int(dims.Z),
        n_samples=n_samples,
        pixel_size_xy_um=pixel_size_xy_um(_measured(sizes.X), _measured(sizes.Y)),
        exposures_ms=exposures,
        stage_xy_um=stage,
    )


def _measured(size_um: float | None) -> float | None:
    """Return an edge length in µm, None where it is absent, 0 or invented."""
    return None if size_um is None or not np.isfinite(size_um) or size_um <= 0 or size_um == INVENTED_UM else float(size_um)


def _from_czi(metadata: Any, number: int, n_channels: int) -> tuple[tuple[float | None, ...], tuple[float | None, float | None]]:
    """Return exposure times in ms and the stage position in µm from Zeiss's XML; empty and None where it has none."""
    image = metadata.find(".//Information/Image/Dimensions") if hasattr(metadata, "findall") else None
    if image is None:
        return (), (None, None)
    channels = image.findall("./Channels/Channel")
    times = [_number(c.findtext("ExposureTime")) for c in channels]
    exposures = tuple(None if ns is None or ns <= 0 else ns / 1e6 for ns in times) if len(times) == n_channels else ()
    scene = next((s for s in image.findall("./S/Scenes/Scene") if s.get("Index") == str(number)), None)
    centre = ("" if scene is None else scene.findtext("CenterPosition") or "").split(",")
    x_um, y_um = (_number(c) for c in centre) if len(centre) == 2 else (None, None)
    return exposures, (x_um, y_um)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None
