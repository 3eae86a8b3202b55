"""Reading of any supported image file or folder, by its suffix."""

from __future__ import annotations

from pathlib import Path

from cacapp.exceptions import CacappError
from cacapp.frames.pyramid import without_levels
from cacapp.frames.scene import first_line
from cacapp.readers import pictures
from cacapp.readers.quiet_libraries import quiet_libraries
from cacapp.readers.tiff import scenes as tiff
from cacapp.readers.zarr_folder import is_zarr, zarr_scenes
from cacapp.scene import Scene

SUFFIXES = (*tiff.SUFFIXES, *pictures.SUFFIXES)
# Microscopes' own formats: they are images, and are refused with a message.
VENDOR_SUFFIXES = (
    *(".czi", ".lif", ".nd2", ".lsm", ".oib", ".oif", ".oir", ".vsi", ".dv", ".zvi"),
    *(".ims", ".svs", ".ndpi", ".mrxs", ".scn", ".sld", ".sldy", ".stk", ".bif"),
)


def stem(path: Path) -> str:
    """Return the file name without its image suffix and ``.ome``: ``a.ome.tif`` and ``a.zarr`` are both ``a``."""
    name = path.name
    for suffix in (*SUFFIXES, ".zarr"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name[:-4] if name.lower().endswith(".ome") else name


def scenes_of(path: Path) -> list[Scene]:
    """Read the scenes of a file or OME-Zarr folder, at least one, without their pixels.

    Raises:
        CacappError: the file is missing, of an unknown kind or damaged; one line that does not name the file.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise CacappError("no such file or folder")
    try:
        with quiet_libraries():
            if is_zarr(path):
                return without_levels(zarr_scenes(path))
            if path.is_dir():
                raise CacappError("a folder, and no OME-Zarr")
            if suffix in tiff.SUFFIXES:
                return without_levels(tiff.tiff_scenes(path))
            if suffix in pictures.SUFFIXES:
                return pictures.raster_scenes(path)
    except CacappError:
        raise
    except PermissionError:
        raise CacappError("may not be read: permission denied") from None
    except Exception as error:  # damaged files raise anything, from struct.error to a library's assertion
        raise CacappError(f"cannot be read ({first_line(error)}); export it again") from error
    raise unsupported_file(suffix)


def unsupported_file(suffix: str) -> CacappError:
    """Return the error to raise for a file of another format."""
    convert = ", or convert it with cacapp-bioio FILE --out FOLDER (docs/formats.md)" if suffix in VENDOR_SUFFIXES else ""
    return CacappError(
        f"not a format that is read ({suffix or 'no suffix'}); export it as OME-TIFF{convert} (read are {', '.join(SUFFIXES)} and .zarr)"
    )
