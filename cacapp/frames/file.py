"""Any readable image file or folder, by its suffix."""

from __future__ import annotations

from pathlib import Path

from cacapp.errors import CacappError
from cacapp.frames import raster, tiff
from cacapp.frames.raster import raster_scenes
from cacapp.frames.scene import Scene
from cacapp.frames.silence import silence
from cacapp.frames.tiff import tiff_scenes
from cacapp.frames.zarr_folder import is_zarr, zarr_scenes
from cacapp.types import Array

SUFFIXES = (*tiff.SUFFIXES, *raster.SUFFIXES)
# Microscopes' own formats: images, so never passed over in silence.
VENDOR_SUFFIXES = (
    *(".czi", ".lif", ".nd2", ".lsm", ".oib", ".oif", ".oir", ".vsi", ".dv", ".zvi"),
    *(".ims", ".svs", ".ndpi", ".mrxs", ".scn", ".sld", ".sldy", ".stk", ".bif"),
)


def stem(path: Path) -> str:
    """File name without its image suffix and ``.ome``: ``a.ome.tif`` and ``a.zarr`` are both ``a``."""
    name = path.name
    for suffix in (*SUFFIXES, ".zarr"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name[:-4] if name.lower().endswith(".ome") else name


def first_line(error: BaseException) -> str:
    """What a library's exception says, as one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def scenes_of(path: Path) -> list[Scene]:
    """The scenes of a file or OME-Zarr folder, at least one, read without their pixels.

    Raises:
        CacappError: the file is missing, of an unknown kind or damaged; one line that does not name the file.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise CacappError("no such file or folder")
    try:
        with silence():
            if is_zarr(path):
                return zarr_scenes(path)
            if path.is_dir():
                raise CacappError("a folder, and no OME-Zarr")
            if suffix in tiff.SUFFIXES:
                return tiff_scenes(path)
            if suffix in raster.SUFFIXES:
                return raster_scenes(path)
    except CacappError:
        raise
    except PermissionError:
        raise CacappError("may not be read: permission denied") from None
    except Exception as error:  # damaged files raise anything, from struct.error to a library's assertion
        raise CacappError(f"cannot be read ({first_line(error)}); export it again") from error
    raise CacappError(
        f"not a format that is read ({suffix or 'no suffix'}); export it as OME-TIFF (read are {', '.join(SUFFIXES)} and .zarr)"
    )


def read_plane(scene: Scene, index: int, z: int) -> Array:
    """One (Y, X) plane in the machine's byte order. Raises CacappError where the pixels cannot be decoded (no file name in the line)."""
    try:
        with silence():
            plane = scene.read(index, z)
    except CacappError:
        raise
    except Exception as error:  # codecs raise anything
        raise CacappError(f"pixels cannot be decoded ({first_line(error)}); copy or export it again") from error
    native = plane.dtype.newbyteorder("=")
    return plane if plane.dtype == native else plane.astype(native)
