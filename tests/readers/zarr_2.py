"""Writer of OME-Zarr 0.4, by the text of the Zarr 2 specification and apart from the reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numcodecs

from cacapp.types import CHANNELS, Array
from tests.readers.zarr_3 import blocks

BLOSC = numcodecs.Blosc()


def write(
    path: Path,
    image: Array,
    names: Sequence[str] | None = CHANNELS,
    *,
    axes: str = "cyx",
    chunks: tuple[int, ...] = (1, 16, 16),
    compressor: Any = BLOSC,
    separator: str = "/",
    order: Any = "C",
    size_um: float = 0.12,
) -> Path:
    place = path / "0"
    place.mkdir(parents=True)
    packing = None if compressor is None else compressor.get_config()
    array = {"zarr_format": 2, "shape": image.shape, "chunks": chunks, "dtype": image.dtype.newbyteorder("<").str, "order": order}
    array |= {"compressor": packing, "filters": None, "fill_value": 0, "dimension_separator": separator}
    (place / ".zarray").write_text(json.dumps(array))
    for index, block in blocks(image, chunks):
        file = place / separator.join(map(str, index))
        file.parent.mkdir(parents=True, exist_ok=True)
        raw = block.astype(array["dtype"]).tobytes(order)
        file.write_bytes(raw if compressor is None else bytes(compressor.encode(raw)))
    space = {"type": "space", "unit": "micrometer"}
    scale = [{"type": "scale", "scale": [size_um if a in "yx" else 1.0 for a in axes]}]
    multiscale = {
        "version": "0.4",
        "axes": [{"name": a, **(space if a in "zyx" else {"type": "channel"})} for a in axes],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    about: dict[str, Any] = {"multiscales": [multiscale]}
    if names is not None:
        about["omero"] = {"channels": [{"label": n} for n in names]}
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(about))
    return path
