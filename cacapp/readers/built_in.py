"""The built-in readers: TIFF and OME-TIFF, OME-Zarr, pictures. They parse files themselves, so they need no process of their own."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from cacapp.api import Reader
from cacapp.readers.zarr_folder import is_zarr
from cacapp.scene import Scene

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES)


class TiffReader(Reader):
    """TIFF and OME-TIFF: metadata of OME, ImageJ, MetaMorph and Micro-Manager; one file each, a set of files is refused."""

    name: ClassVar[str] = "tiff"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = TIFF_SUFFIXES
    apart: ClassVar[bool] = False

    def claims(self, path: Path, start: bytes) -> bool:
        return path.is_file()

    def scenes(self, path: Path) -> list[Scene]:
        from cacapp.readers.tiff.scenes import tiff_scenes

        return tiff_scenes(path)

    def examples(self, folder: Path) -> list[Path]:
        from cacapp.readers.examples import write_tiff

        return [write_tiff(folder)]


class ZarrReader(Reader):
    """OME-Zarr 0.1 to 0.5, a folder each, on Zarr versions 2 and 3."""

    name: ClassVar[str] = "ome-zarr"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = (".zarr",)
    apart: ClassVar[bool] = False

    def claims(self, path: Path, start: bytes) -> bool:
        return is_zarr(path)

    def scenes(self, path: Path) -> list[Scene]:
        from cacapp.readers.zarr_folder import zarr_scenes

        return zarr_scenes(path)

    def examples(self, folder: Path) -> list[Path]:
        from cacapp.readers.examples import write_zarr

        return [write_zarr(folder)]


class PictureReader(Reader):
    """PNG and JPEG, 8 or 16 bit, one channel each."""

    name: ClassVar[str] = "picture"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple[str, ...]] = PICTURE_SUFFIXES
    apart: ClassVar[bool] = False

    def claims(self, path: Path, start: bytes) -> bool:
        return path.is_file()

    def scenes(self, path: Path) -> list[Scene]:
        from cacapp.readers.pictures import raster_scenes

        return raster_scenes(path)

    def examples(self, folder: Path) -> list[Path]:
        from cacapp.readers.examples import write_picture

        return [write_picture(folder)]
