"""Search for files under paths and addresses."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames.file import IMAGES
from cacapp.frames.remote import as_path, check_address, images_below, is_image, is_remote
from cacapp.readers.zarr_folder import is_zarr

# What `cacapp export --format tiff` writes beside frames.
_LABEL_IMAGES = ("_labels.tif", "_labels.tiff")
# Small pictures that MetaMorph and others write beside frames.
_THUMBNAIL = re.compile(r"(?:[_. -]thumb(?:nail)?s?\d*|^thumb(?:nail)?s?[_. -].*)(?:\.ome)?\.\w+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """File or OME-Zarr folder, or a folder that has none (``empty``) or cannot be listed (``error``).

    ``path`` is absolute; of an address, what ``remote.as_path`` gives.
    """

    path: Path
    explicit: bool
    empty: bool = False
    error: str = ""


def _is_beside(name: str) -> bool:
    """Return whether a file name is that of a label image or a thumbnail, which lie beside frames."""
    return name.lower().endswith(_LABEL_IMAGES) or _THUMBNAIL.search(name) is not None


def _is_one_image(folder: Path, others: Callable[[], tuple[str, ...]]) -> bool:
    """Return whether a folder is one image: OME-Zarr, or of a format of which a plugin reads the folders."""
    return is_zarr(folder) or ("." in folder.name and folder.name.lower().endswith(others()))


def _images(folder: Path, others: Callable[[], tuple[str, ...]]) -> Iterator[Path]:
    """Return images and OME-Zarr folders below ``folder``, sorted, without hidden ones, label images and thumbnails."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        whole = [f for f in folders if _is_one_image(here / f, others)]
        folders[:] = [f for f in folders if f not in whole]
        for name in sorted([*files, *whole]):
            lower = name.lower()
            image = lower.endswith(IMAGES) or name in whole or lower.endswith(others())
            if not name.startswith(".") and image and not _is_beside(name):
                yield here / name


def _remote(uri: str) -> Iterator[Found]:
    """Return what an address contains: one with the suffix of an image or OME-Zarr is a file, any other a folder."""
    uri = check_address(uri)
    if is_image(uri) or uri.lower().endswith(".zarr"):
        yield Found(as_path(uri), explicit=True)
        return
    try:
        images = [check_address(image) for image in images_below(uri) if not _is_beside(image.rpartition("/")[2])]
    except UsageError:
        raise
    except CacappError as error:
        yield Found(as_path(uri), explicit=True, error=f"{uri}: {error}")
        return
    yield from (Found(as_path(image), explicit=image == uri) for image in images)
    if not images:
        yield Found(as_path(uri), explicit=True, empty=True)


def search(paths: Sequence[Path | str], others: Callable[[], tuple[str, ...]] = tuple) -> list[Found]:
    """Return files in the order of ``paths``, each once, by absolute path; a named file stays explicit if a folder search finds it too.

    Args:
        others: gives the suffixes of plugins' readers, called where a file has none of the known ones.

    Raises UsageError for an address of an unsupported protocol, or without its driver.
    """
    found: dict[Path, Found] = {}
    for given in paths:
        if isinstance(given, str) and is_remote(given):
            for item in _remote(given):
                found[item.path] = item if item.explicit else found.get(item.path, item)
            continue
        path = Path(os.path.abspath(given))  # noqa: PTH100 resolve() would follow links and change the name the user gave
        if path.is_dir() and not _is_one_image(path, others):
            images = list(_images(path, others))
            for image in images:
                found.setdefault(image, Found(image, explicit=False))
            if not images:
                found.setdefault(path, Found(path, explicit=True, empty=True))
        else:
            found[path] = Found(path, explicit=True)
    return list(found.values())
