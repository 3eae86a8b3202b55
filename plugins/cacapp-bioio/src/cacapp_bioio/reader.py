"""Reader ``bioio``: asks the process of the environment that has bioio."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cacapp import Array, Reader, Scene
from cacapp.exceptions import CacappError
from cacapp_bioio import environment

if TYPE_CHECKING:
    from cacapp.isolation import ChildProcess

SERVER = Path(__file__).with_name("serve.py")
TIMEOUT_S = 100.0
"""Time limit of a question, below the one that cacapp has for a reader, s."""
MARGIN_BYTES = 2**20


class Bioio(Reader):
    """CZI, LIF, ND2, DV and others with bioio, in the environment that ``cacapp-bioio setup`` made; mosaics are stitched."""

    name: ClassVar[str] = "bioio"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = environment.suffixes()

    def scenes(self, path: Path) -> list[Scene]:
        meta, _ = _asked("scenes", path)
        found = meta.get("scenes")
        if not isinstance(found, list):
            raise CacappError("bioio's process answered without scenes")
        return [self._scene(path, number, fields) for number, fields in enumerate(found)]

    def examples(self, folder: Path) -> list[Path]:
        if ".czi" not in self.suffixes:
            return []
        meta, _ = _asked("example", folder)
        return [Path(meta["path"])]

    def _scene(self, path: Path, number: int, fields: Mapping[str, Any]) -> Scene:
        size, stated = fields["pixel_size_xy_um"], fields["dtype"]
        return Scene(
            key=f"{number} {fields['name']}",
            title=str(fields["name"]),
            dtype=np.dtype(stated),
            height_px=fields["height_px"],
            width_px=fields["width_px"],
            channels=tuple(fields["channels"]),
            read=partial(_plane, path, number, fields),
            n_time=fields["n_time"],
            n_z=fields["n_z"],
            n_samples=fields["n_samples"],
            pixel_size_xy_um=None if size is None else tuple(size),
        )


def _plane(path: Path, number: int, fields: Mapping[str, Any], index: int, z: int) -> Array:
    at_most = MARGIN_BYTES + fields["height_px"] * fields["width_px"] * np.dtype(fields["dtype"]).itemsize
    _, arrays = _asked("plane", path, at_most, scene=number, index=index, z=z)
    if "plane" not in arrays:
        raise CacappError("bioio's process answered without a plane")
    return arrays["plane"]


def _asked(op: str, path: Path, at_most: int = MARGIN_BYTES, **more: int) -> tuple[dict[str, Any], dict[str, Array]]:
    if not environment.python().exists():
        raise CacappError(f"{environment.folder()} has no environment with bioio: cacapp-bioio setup {path.suffix[1:]}")
    return _child(str(environment.python())).ask(op, {"path": str(path.absolute()), **more}, None, at_most)


@lru_cache(maxsize=2)
def _child(python: str) -> ChildProcess:
    """Return the process with bioio, one for each calling process; it ends with the caller."""
    from cacapp.isolation import ChildProcess, Limits

    return ChildProcess(str(SERVER), limits=Limits(python, TIMEOUT_S))
