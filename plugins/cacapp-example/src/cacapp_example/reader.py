"""Reader ``example-reader``: planes that numpy saved."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from cacapp import Array, Reader, Scene
from cacapp.exceptions import CacappError

CHANNELS = ("DAPI", "red")


class ExampleReader(Reader):
    """Files of ``numpy.savez``: ``channels`` (names), ``pixel_size_um``, ``shape_zyx``, and each plane as (Y, X) uint16, ``c0z0``."""

    name: ClassVar[str] = "example-reader"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    def claims(self, path: Path, start: bytes) -> bool:
        return start.startswith(b"PK")

    def scenes(self, path: Path) -> list[Scene]:
        try:
            with np.load(path, allow_pickle=False) as file:  # pickles could run code
                names = tuple(str(name) for name in file["channels"])
                size_um = float(file["pixel_size_um"])
                n_z, height, width = (int(n) for n in file["shape_zyx"])
        except Exception as error:  # a damaged archive raises many
            raise CacappError(f"no complete archive of planes ({type(error).__name__}); copy or export it again") from error

        def read(channel: int, z: int) -> Array:
            try:
                with np.load(path, allow_pickle=False) as file:
                    return np.asarray(file[f"c{channel}z{z}"])
            except Exception as error:
                raise CacappError(f"plane {z} of {names[channel]} is damaged ({type(error).__name__}); copy or export it again") from error

        return [
            Scene(
                key="",
                title="",
                dtype=np.dtype("uint16"),
                height_px=height,
                width_px=width,
                channels=names,
                n_z=n_z,
                pixel_size_xy_um=(size_um, size_um),
                read=read,
            )
        ]

    def examples(self, folder: Path) -> list[Path]:
        planes = np.random.default_rng(1).integers(90, 4000, (2, 400, 400)).astype(np.uint16)
        return [save(folder / "example.npz", planes)]


def save(path: Path, planes: Array, pixel_size_um: float = 0.2) -> Path:
    """Write (C, Y, X) uint16 planes with the names CHANNELS."""
    named = {f"c{channel}z0": plane for channel, plane in enumerate(planes)}
    np.savez(path, channels=np.array(CHANNELS), pixel_size_um=pixel_size_um, shape_zyx=np.array([1, *planes.shape[1:]]), **named)
    return path
