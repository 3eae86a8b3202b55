"""Reader for npe2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_cacapp.layers import LayerData, layers_of
from napari_cacapp.place import Place
from napari_cacapp.slide import view_slide


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the reader of a database with one counted slide, or of a bookmark; None for other files."""
    if not isinstance(path, str) or not (path.endswith(".cacapp.toml") or _is_sqlite(path)):
        return None
    return read


def read(path: str) -> list[LayerData]:
    """Read the layers of a slide. Raises CacappError, in one line, if it cannot be opened."""
    return layers_of(view_slide(Place.of_file(path)))


def _is_sqlite(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False
