"""Call a reader and check what it says of a file, and each plane it gives: a reader that lies about a file costs that file, in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from cacapp.api import Reader
from cacapp.exceptions import CacappError, UsageError
from cacapp.host.guard import call, described_value, wrong
from cacapp.scene import Scene, check_plane_size, titles
from cacapp.types import Array

START_BYTES = 4096
"""Bytes of a file that a reader sees when it is asked whether it reads the file."""
_MAX_LENGTH = 65_536
"""Planes along an axis, and images in a file."""
_MAX_TEXT = 500
_WAY_OUT = "; export it as OME-TIFF, or leave the reader's plugin out (--no-plugin)"


def claims(reader: Reader, path: Path) -> bool:
    """Return whether a reader takes a file with one of its suffixes. Raises CacappError that names the reader, also for OSError."""
    with _way_out():
        found = call(reader, lambda: reader.claims(path, _start(path)))
        if not isinstance(found, bool):
            raise wrong(reader, f"claims() must return True or False, got {described_value(found)}")
        return found


def scenes(reader: Reader, path: Path) -> list[Scene]:
    """Return the images of a file; their planes are checked when they are read.

    Raises:
        CacappError: the reader fails, or what it says cannot be; one line that names the reader and the way out, not the file.
    """
    with _way_out():
        found = call(reader, lambda: reader.scenes(path))
        if not isinstance(found, list) or not 0 < len(found) <= _MAX_LENGTH:
            raise wrong(reader, f"scenes() must return a list of Scene, at least one, got {_shown(found)}")
        for number, scene in enumerate(found):
            _check(reader, f"scenes()[{number}]", scene)
        keys = [scene.key for scene in found]
        if len(set(keys)) < len(keys):
            raise wrong(reader, "scenes() gave two scenes of one key")
    names = titles([scene.title or scene.key for scene in found])
    return [
        replace(scene, title=title, key=scene.key if title else "", read=partial(_plane, reader, scene))
        for scene, title in zip(found, names, strict=True)
    ]


def examples(reader: Reader, folder: Path) -> list[Path]:
    """Return the example files that a reader wrote into a folder. Raises CacappError where they do not lie there."""
    found = call(reader, lambda: reader.examples(folder))
    if not isinstance(found, list) or not all(isinstance(p, Path) and p.exists() and folder in p.parents for p in found):
        raise wrong(reader, "examples() must return a list of paths that exist in the folder it was given")
    return found


@contextmanager
def _way_out() -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except CacappError as error:
        text = str(error)
        raise CacappError(text if "export" in text else text + _WAY_OUT) from error


def _start(path: Path) -> bytes:
    if path.is_dir():
        return b""
    with path.open("rb") as file:
        return file.read(START_BYTES)


def _plane(reader: Reader, scene: Scene, index: int, z: int) -> Array:
    with _way_out():
        plane = call(reader, lambda: scene.read(index, z))
        wanted = (scene.height_px, scene.width_px)
        native = scene.dtype.newbyteorder("=")
        if not isinstance(plane, np.ndarray) or plane.shape != wanted or plane.dtype.newbyteorder("=") != native:
            raise wrong(reader, f"channel {index}, plane {z} must be {native.name} of shape {wanted}, got {described_value(plane)}")
        return np.array(plane, native, order="C")  # a copy: the reader may use its own again


def _check(reader: Reader, where: str, scene: Any) -> None:
    """Raise CacappError for the first field of a scene that cannot be."""
    if not isinstance(scene, Scene):
        raise wrong(reader, f"{where} must be a Scene, got {described_value(scene)}")
    if not isinstance(scene.dtype, np.dtype) or scene.dtype.kind not in "buif":
        raise wrong(reader, f"{where}.dtype must be a numpy dtype of numbers, got {_shown(scene.dtype)}")
    for name, fits, wanted in _FIELDS:
        value = getattr(scene, name)
        if not fits(value):
            raise wrong(reader, f"{where}.{name} must be {wanted}, got {_shown(value)}")
    for name, length in (("exposures_ms", len(scene.channels)), ("slices", scene.n_z)):
        if len(getattr(scene, name)) not in (0, length):
            raise wrong(reader, f"{where}.{name} must be empty or have {length} entries, got {len(getattr(scene, name))}")
    if scene.n_samples > 1 and len(scene.channels) > _MAX_LENGTH // scene.n_samples:
        raise wrong(reader, f"{where} has too many channels and samples")
    check_plane_size(scene.height_px, scene.width_px)


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and (not value or value.isprintable())


def _length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_LENGTH


def _pixels(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _above_0(value: object) -> bool:
    return _number(value) and value > 0  # type: ignore[operator]


def _all(fits: Callable[[object], bool], at_least: int = 0, at_most: int = _MAX_LENGTH) -> Callable[[object], bool]:
    return lambda value: isinstance(value, tuple) and at_least <= len(value) <= at_most and all(map(fits, value))


def _or_none(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


_FIELDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    *((name, _text, f"printable text of at most {_MAX_TEXT} letters") for name in ("key", "title", "note")),
    *((name, _pixels, "a whole number above 0") for name in ("height_px", "width_px")),
    *((name, _length, f"a whole number from 1 to {_MAX_LENGTH}") for name in ("n_time", "n_z", "n_samples")),
    ("channels", _all(_text, 1), "a tuple of printable names, at least one"),
    ("slices", _all(_text), "a tuple of printable names"),
    ("exposures_ms", _all(_or_none(_above_0)), "a tuple of numbers above 0, or None"),
    ("pixel_size_xy_um", _or_none(_all(_above_0, 2, 2)), "two numbers above 0 in µm, or None"),
    ("stage_xy_um", _all(_or_none(_number), 2, 2), "two numbers in µm, each may be None"),
    ("exact", lambda value: isinstance(value, bool), "True or False"),
    ("read", callable, "a function of channel and z"),
)


def _shown(value: object) -> str:
    return described_value(value) if isinstance(value, np.ndarray) else f"{value!r:.80}"
