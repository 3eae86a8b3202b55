"""ImageJ's ROI sets: a zip with a ``.roi`` a nucleus, read and written by roifile."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cacapp.exceptions import CacappError
from cacapp.exchange.nucleus import Nucleus
from cacapp.exchange.outline import polygon, rasterize, ring_area
from cacapp.types import Instance

if TYPE_CHECKING:
    from roifile import ImagejRoi
    from shapely import Geometry

AREAS = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")
LARGEST_BYTES = 1 << 24
"""A ROI of more is no outline."""


def roi_zip(nuclei: Sequence[Nucleus]) -> bytes:
    """Return a ROI set; each ROI is called ``label class``, e.g. ``12 cac``."""
    from roifile import ROI_TYPE, ImagejRoi

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for nucleus in nuclei:
            name = f"{nucleus.label} {nucleus.call}"
            roi = ImagejRoi.frompoints(np.array(polygon(nucleus.instance)[:-1], np.int32), name=name)
            roi.roitype = ROI_TYPE.POLYGON
            # a fixed time: the same nuclei give the same file
            archive.writestr(zipfile.ZipInfo(f"{name}.roi"), roi.tobytes())
    return file.getvalue()


def read_rois(path: Path, height_px: int, width_px: int) -> list[Instance]:
    """Read the nuclei of a frame of (height_px, width_px), in the order of the zip.

    Raises:
        CacappError: no ROI set, or a ROI that is no area in the frame; one line that names file and ROI.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.lower().endswith(".roi")]
            if not members:
                raise CacappError(f"{path}: holds no .roi; save the ROI Manager's list with More > Save")
            return [_instance(archive, member, path, height_px, width_px) for member in members]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise CacappError(f"{path}: no zip that can be read ({error}); save the ROI set again") from None


def _instance(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, height_px: int, width_px: int) -> Instance:
    import zlib

    from roifile import ImagejRoi

    where = f"{path}: ROI {member.filename}"
    if member.file_size > LARGEST_BYTES:
        raise CacappError(f"{where}: unpacks to {member.file_size} bytes; that is no outline")
    try:
        roi = ImagejRoi.frombytes(archive.read(member))
    except (ValueError, struct.error, IndexError, TypeError, MemoryError, zlib.error) as error:
        raise CacappError(f"{where}: cannot be read ({error}); save the ROI set again") from None
    try:
        return rasterize(_area(roi), height_px, width_px)
    except CacappError as error:
        raise CacappError(f"{where}: {error}") from error


def _area(roi: ImagejRoi) -> Geometry:
    """Return the area of a composite ROI by the even-odd rule, as ImageJ does: a ring inside another is a hole, one beside it a part."""
    if roi.roitype.name not in AREAS:
        raise CacappError(f"is a {roi.roitype.name.lower()}; a nucleus is an area")
    rings = [ring_area(np.asarray(ring, np.float64)) for ring in roi.coordinates(multi=True)]
    return reduce(lambda area, ring: area.symmetric_difference(ring), rings)
