"""Which files the given paths stand for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacapp.frames.file import SUFFIXES, VENDOR_SUFFIXES
from cacapp.frames.zarr_folder import is_zarr

# What `cacapp export --format tiff` writes beside frames.
_LABEL_IMAGES = ("_labels.tif", "_labels.tiff")


@dataclass(frozen=True, slots=True)
class Found:
    """A file or OME-Zarr folder, or a folder that has none (``empty``)."""

    path: Path
    explicit: bool
    empty: bool = False


def _images(folder: Path) -> Iterator[Path]:
    """Images and OME-Zarr folders below ``folder``, sorted; hidden ones, label images and other files are left out."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        zarrs = [f for f in folders if is_zarr(here / f)]
        folders[:] = [f for f in folders if f not in zarrs]
        for name in sorted([*files, *zarrs]):
            lower = name.lower()
            image = lower.endswith(SUFFIXES) or Path(lower).suffix in VENDOR_SUFFIXES or name in zarrs
            if image and not name.startswith(".") and not lower.endswith(_LABEL_IMAGES):
                yield here / name


def search(paths: Sequence[Path | str]) -> list[Found]:
    """Files in the order of ``paths``, each once, by absolute path; a named file stays explicit even if a folder search finds it too."""
    found: dict[Path, Found] = {}
    for given in paths:
        path = Path(os.path.abspath(given))  # noqa: PTH100 resolve() would follow links and change the name the user gave
        if path.is_dir() and not is_zarr(path):
            images = list(_images(path))
            for image in images:
                found.setdefault(image, Found(image, explicit=False))
            if not images:
                found.setdefault(path, Found(path, explicit=True, empty=True))
        else:
            found[path] = Found(path, explicit=True)
    return list(found.values())
