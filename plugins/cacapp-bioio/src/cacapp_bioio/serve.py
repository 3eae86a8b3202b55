"""Run by the Python of bioio's environment, which has neither cacapp nor this package: describes files and reads planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

KEPT_OPEN = 4
"""Files of which the images stay open."""
INVENTED_UM = 1.0
"""Some readers give this edge length where a file says none; it was not measured."""


class RefusedError(Exception):
    """A file that cannot be read."""


class UsageError(RefusedError):
    """Named so that the other end takes the line as it is, without the name of an exception."""


class CacappError(RefusedError):
    """Named so that the other end takes the line as it is, without the name of an exception."""


def handlers(arguments: list[str]) -> dict[str, Any]:
    """Return the operations; see docs/plugin-protocol.md of cacapp."""
    opened: dict[tuple[str, int, int], list[Any]] = {}

    def images(path: str, anew: bool) -> list[Any]:
        """Return an image for each scene, kept for the files opened last."""
        state = Path(path).stat()
        key = (path, state.st_size, state.st_mtime_ns)
        if anew or key not in opened:
            opened.pop(key, None)
            while len(opened) >= KEPT_OPEN:
                del opened[next(iter(opened))]
            opened[key] = _tried(lambda: _images(path))
        return opened[key]

    def scenes(meta: dict[str, Any], arrays: dict[str, Any]) -> Any:
        found = images(meta["path"], anew=True)
        return {"scenes": [_tried(lambda image=image, n=n: _described(image, n)) for n, image in enumerate(found)]}, {}

    def plane(meta: dict[str, Any], arrays: dict[str, Any]) -> Any:
        image = images(meta["path"], anew=False)[meta["scene"]]
        return {}, {"plane": _tried(lambda: _plane(image, meta["index"], meta["z"]))}

    def example(meta: dict[str, Any], arrays: dict[str, Any]) -> Any:
        return {"path": _example(meta["path"])}, {}

    return {"scenes": scenes, "plane": plane, "example": example}


def _tried(work: Any) -> Any:
    try:
        return work()
    except Exception as error:  # readers raise various exceptions
        text = " ".join(str(error).split())[:200]
        raise CacappError(f"bioio cannot read it ({type(error).__name__}: {text}); export it as OME-TIFF") from error


def _images(path: str) -> list[Any]:
    from bioio import BioImage

    names = BioImage(path).scenes
    found = []
    for name in range(len(names)):
        image = BioImage(path)
        image.set_scene(name)
        found.append(image)
    return found


def _described(image: Any, number: int) -> dict[str, Any]:
    dims, sizes = image.dims, image.physical_pixel_sizes
    names = [str(name) for name in image.channel_names or ()]
    count = int(dims.C)
    edges = [_measured(sizes.X), _measured(sizes.Y)]
    return {
        "name": str(image.current_scene),
        "dtype": np.dtype(image.dtype).newbyteorder("=").name,
        "height_px": int(dims.Y),
        "width_px": int(dims.X),
        "n_time": int(dims.T),
        "n_z": int(dims.Z),
        "n_samples": int(dims.S) if "S" in dims.order else 1,
        "channels": [(names[c] if len(names) == count else "") or f"Channel:{number}:{c}" for c in range(count)],
        "pixel_size_xy_um": None if None in edges else edges,
    }


def _measured(size_um: Any) -> float | None:
    """Return an edge length in µm, None where it is absent, 0 or invented."""
    known = size_um is not None and np.isfinite(size_um) and size_um > 0 and size_um != INVENTED_UM
    return float(size_um) if known else None


def _plane(image: Any, index: int, z: int) -> Any:
    if "S" in image.dims.order:
        return np.asarray(image.get_image_dask_data("YXS", T=0, C=0, Z=z)[..., index].compute())
    return np.asarray(image.get_image_dask_data("YX", T=0, C=index, Z=z).compute())


def _example(folder: str) -> str:
    """Write a CZI of two channels of noise, 0.2 µm a pixel."""
    from pylibCZIrw import czi

    path = str(Path(folder) / "example.czi")
    pixels = np.random.default_rng(7).integers(90, 4000, (2, 360, 400, 1)).astype(np.uint16)
    with czi.create_czi(path) as file:
        for channel, plane in enumerate(pixels):
            file.write(data=plane, plane={"C": channel})
        file.write_metadata(document_name="example", channel_names={0: "DAPI", 1: "red"}, scale_x=2e-7, scale_y=2e-7)
    return path
