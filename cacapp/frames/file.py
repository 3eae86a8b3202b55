"""Names of image files, and what to say of a file that no reader knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cacapp.exceptions import CacappError
from cacapp.readers.built_in import SUFFIXES

MAKERS: Mapping[str, str] = {
    **{".czi": "czi", ".lif": "lif", ".nd2": "nd2", ".dv": "dv", ".r3d": "dv", ".sldy": "sldy"},
    **dict.fromkeys((".lsm", ".oib", ".oif", ".oir", ".vsi", ".zvi", ".ims", ".stk", ".sld"), "bioformats"),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs", ".scn", ".bif"), "bioformats"),
}
"""Suffixes of the makers' own formats, which are images, and what ``cacapp-bioio setup`` calls the reader of each."""
EXTRAS = ("czi", "lif", "nd2", "dv")
"""The formats for which cacapp has an extra, with aicsimageio."""
AICSIMAGEIO_BELOW = (3, 13)
"""The first Python on which aicsimageio cannot be installed."""
IMAGES = (*SUFFIXES, *MAKERS)


def stem(path: Path, others: Callable[[], tuple[str, ...]] = tuple) -> str:
    """Return the file name without its image suffix and ``.ome``: ``a.ome.tif``, ``a.czi`` and ``a.zarr`` are all ``a``.

    Args:
        others: gives the suffixes of plugins' readers, called where the name has none of the known ones.
    """
    name = path.name
    for suffix in (*IMAGES, ".zarr") if has_known_suffix(path) else sorted(others(), key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name[:-4] if name.lower().endswith(".ome") else name


def has_known_suffix(path: Path) -> bool:
    """Return whether a name ends as those of formats that are known without plugins."""
    return path.name.lower().endswith((*IMAGES, ".zarr"))


def unsupported_file(suffix: str) -> CacappError:
    """Return the error to raise for a file that no installed reader reads; it names the command that brings one."""
    maker = MAKERS.get(suffix)
    if maker is None:
        return CacappError(
            f"not a format that is read ({suffix or 'no suffix'}); export it as OME-TIFF (read are {', '.join(SUFFIXES)} and .zarr)"
        )
    other = f"pip install cacapp-bioio, then: cacapp-bioio setup {maker}"
    own = f"pip install 'cacapp[{maker}]', or " if maker in EXTRAS and sys.version_info < AICSIMAGEIO_BELOW else ""
    return CacappError(f"no installed reader reads {suffix}: {own}{other}; or export it as OME-TIFF")
