"""Scene: one image inside a file, described without its pixels. Readers return it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.types import Array

# A frame has 15 million. Twice this at 16 bit, which a plane takes while it is decoded, is 1 GB.
MAX_PLANE_PX = 2**28

_UM = {
    **{"km": 1e9, "m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4, "in": 25400.0},
    **{"meter": 1e6, "centimeter": 1e4, "millimeter": 1e3, "micrometer": 1.0, "nanometer": 1e-3, "picometer": 1e-6, "angstrom": 1e-4},
    **{"um": 1.0, "micron": 1.0, "microns": 1.0, "μm": 1.0, "\\u00B5m": 1.0, "inch": 25400.0},
}
_MS = {"s": 1e3, "ms": 1.0, "µs": 1e-3, "ns": 1e-6, "min": 60e3}


@dataclass(frozen=True, slots=True)
class Scene:
    """Image inside a file.

    Attributes:
        key: its name in the file; "" where it is the only one.
        title: its name in a frame's name, "" where it is the only one.
        dtype: as stored.
        height_px, width_px: plane size.
        n_time, n_z, n_samples: lengths of these axes, 1 where there is none; samples are the colours of an RGB image.
        channels: names as found, in the file's order.
        exact: False for lossy files (JPEG): their empty colour planes are not quite empty.
        pixel_size_xy_um: edge lengths of a pixel, None where the file does not say.
        exposures_ms: one a channel, None where unknown.
        stage_xy_um: stage position, None where unknown.
        slices: of a plain stack that has slices and no channel axis, a name for each, "" where there is none; Fiji's "Images to Stack"
            keeps channels that way.
        note: what a user has to know of it, "" for nothing.
        read: (channel or, for RGB, sample index; z) -> (Y, X) array as stored.
    """

    key: str
    title: str
    dtype: np.dtype[Any]
    height_px: int
    width_px: int
    channels: tuple[str, ...]
    read: Callable[[int, int], Array] = field(repr=False, compare=False)
    n_time: int = 1
    n_z: int = 1
    n_samples: int = 1
    exact: bool = True
    pixel_size_xy_um: tuple[float, float] | None = None
    exposures_ms: tuple[float | None, ...] = ()
    stage_xy_um: tuple[float | None, float | None] = (None, None)
    slices: tuple[str, ...] = ()
    note: str = ""


def length_um(value: float | None, unit: str | None) -> float | None:
    """Convert a length to µm; None where value or unit are unusable ("pixel", "reference frame")."""
    factor = _UM.get(unit or "")
    return None if value is None or factor is None or not math.isfinite(value) else float(value) * factor


def duration_ms(value: float | None, unit: str | None) -> float | None:
    """Convert a positive duration to ms; None where value or unit are unusable."""
    factor = _MS.get(unit or "")
    return None if value is None or factor is None or not math.isfinite(value) or value <= 0 else float(value) * factor


def pixel_size_xy_um(x_um: float | None, y_um: float | None) -> tuple[float, float] | None:
    """Return both edge lengths, or None where one is absent or not above 0."""
    return None if x_um is None or y_um is None or x_um <= 0 or y_um <= 0 else (x_um, y_um)


def check_plane_size(height_px: int, width_px: int) -> None:
    """Raise CacappError for a plane without pixels, or with more than MAX_PLANE_PX, before memory is allocated."""
    if height_px < 1 or width_px < 1:
        raise CacappError(f"declares an image of {width_px} x {height_px} px")
    if height_px * width_px > MAX_PLANE_PX:
        raise CacappError(
            f"declares an image of {width_px} x {height_px} px, more than the {MAX_PLANE_PX} px read at most; crop it into frames"
        )


def titles(names: Sequence[str | None]) -> list[str]:
    """Return a short name for each scene: that of the file where all differ, else scene0, scene1 ..."""
    if len(names) == 1:
        return [""]
    clean = [re.sub(r"[^\w.-]+", "-", name or "").strip("-") for name in names]
    own = all(clean) and max(Counter(clean).values()) == 1
    return clean if own else [f"scene{i}" for i in range(len(names))]
