"""Pictures of single nuclei: one grey image with the channels below each other; the browser adds colours and contrast.

They are drawn on the first request, together with the other flagged cells of the frame, and cached in a folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from sqlalchemy import select
from sqlmodel import col

from cacapp.arrays import rle
from cacapp.db.cells.places import Place
from cacapp.db.engine.session import Database
from cacapp.db.tables import Cell, FrameRow
from cacapp.exceptions import CacappError
from cacapp.report.figures import cell_window
from cacapp.review.pixels import Pixels
from cacapp.runs.files import write_atomically
from cacapp.types import Array

VERSION = 1
"""Version of the drawing code; a new one gives all pictures new names and ETags."""

MARGIN_PX = 10
TYPICAL_SHARE = 95
"""Percentile of the nuclei's longer sides that fits the common window; larger nuclei get a larger one."""

SAMPLE = 3000
"""Nuclei from which the common window is computed."""

MAX_ETAGS = 50_000
VERSION_LENGTH = 12
"""Characters of the ETag in a picture's address."""

WIDE_WINDOW = 1.4
"""Side of the cell page's window relative to the gallery's, so that neighbours are visible."""

SMOOTHING = 4
"""Outlines are traced on masks enlarged by this factor and blurred, so that they are smooth."""

QUALITY = 92
Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sprite:
    """An encoded grey image (n * height, width): the n channels in the frame's order below each other, 8 bit as in Pixels."""

    data: bytes
    etag: str


class Drawable(Protocol):
    """A cell with the window and the ETag of its picture."""

    @property
    def place(self) -> Place: ...
    @property
    def window(self) -> Window: ...
    @property
    def etag(self) -> str: ...


class Crops:
    """Sprites of cells, drawn or from the cache folder. Safe to use from many threads."""

    def __init__(self, db: Database, pixels: Pixels, cache: Path) -> None:
        self._db = db
        self._pixels = pixels
        self._cache = cache / "crops"
        self.side_px = lru_cache(maxsize=64)(self._side_px)
        self._etags: dict[tuple[int, str], str] = {}

    def etag(self, place: Place, frame: FrameRow, side_px: int) -> str:
        """Return a digest of all that a picture depends on, without drawing it."""
        parts = (VERSION, frame.sha256, frame.scene, frame.projection, place.bbox_xywh, side_px, frame.slide_id)
        return sha256(repr(parts).encode()).hexdigest()[:32]

    def window(self, place: Place, frame: FrameRow, side_px: int) -> Window:
        """Return left, top, width and height of the picture in the frame, px."""
        own = max(place.bbox_xywh[2:]) + 2 * MARGIN_PX
        return cell_window(place.bbox_xywh, max(side_px, own), frame.height_px, frame.width_px)

    def known(self, cell_id: int, version: str) -> Sprite | None:
        """Return a picture that was served before, without a query to the database; None otherwise."""
        etag = self._etags.get((cell_id, version))
        return None if etag is None else self.read(etag)

    def is_cached(self, etag: str) -> bool:
        """Return whether the picture is in the cache folder."""
        return self._file(etag).is_file()

    def read(self, etag: str) -> Sprite | None:
        """Return the picture from the cache folder; None if it is not there."""
        try:
            return Sprite(self._file(etag).read_bytes(), etag)
        except OSError:
            return None

    def sprite(self, wanted: Drawable, companions: Sequence[Drawable] = ()) -> Sprite:
        """Return a cell's picture. If its frame has to be read, pictures of the companions, of the same frame, are drawn as well.

        Raises:
            CacappError: the frame's files are missing or have changed since ingest.
        """
        if len(self._etags) >= MAX_ETAGS:
            self._etags.clear()
        self._etags[wanted.place.cell_id, wanted.etag[:VERSION_LENGTH]] = wanted.etag
        if (cached := self.read(wanted.etag)) is not None:
            return cached
        planes = list(self._pixels.screen(wanted.place.frame_id).planes.values())
        data = _encoded(planes, wanted.window, QUALITY)
        write_atomically(self._file(wanted.etag), data)
        for other in companions:
            file = self._file(other.etag)
            if other.place.cell_id != wanted.place.cell_id and not file.is_file():
                write_atomically(file, _encoded(planes, other.window, QUALITY))
        return Sprite(data, wanted.etag)

    def _file(self, etag: str) -> Path:
        return self._cache / etag[:2] / f"{etag}.webp"

    def _side_px(self, segment_run_id: int) -> int:
        """Return the side of the gallery's windows for the cells of a segmentation run, px."""
        with self._db.reading() as session:
            query = (
                select(col(Cell.bbox_w_px), col(Cell.bbox_h_px))
                .where(col(Cell.run_id) == segment_run_id, col(Cell.evaluable).is_(True))
                .limit(SAMPLE)
            )
            sides = [max(w, h) for w, h in session.connection().execute(query)]
        return int(np.percentile(sides, TYPICAL_SHARE)) + 2 * MARGIN_PX if sides else 64


def outline(place: Place, window: Window) -> str:
    """Return the nucleus' outline as an SVG path in px of the window, (0, 0) its top left corner."""
    mask = np.pad(rle.decode(place.mask, place.bbox_xywh[3], place.bbox_xywh[2]), 2).astype(np.uint8) * 255
    large = cv2.resize(mask, None, fx=SMOOTHING, fy=SMOOTHING, interpolation=cv2.INTER_LINEAR)
    large = cv2.GaussianBlur(large, (0, 0), SMOOTHING)
    contours, _ = cv2.findContours((large > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    x0, y0 = place.bbox_xywh[0] - window[0] - 2, place.bbox_xywh[1] - window[1] - 2
    paths = []
    for contour in contours:
        points = (contour.reshape(-1, 2)[::SMOOTHING] + 0.5) / SMOOTHING
        paths.append("M" + "L".join(f"{x + x0:.1f},{y + y0:.1f}" for x, y in points) + "Z")
    return " ".join(paths)


def polygons(place: Place) -> list[list[tuple[int, int]]]:
    """Return the nucleus' contours as (x, y) in px of the frame."""
    mask = rle.decode(place.mask, place.bbox_xywh[3], place.bbox_xywh[2])
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    x0, y0 = place.bbox_xywh[:2]
    return [[(int(x) + x0, int(y) + y0) for x, y in c.reshape(-1, 2)] for c in contours]


def _encoded(planes: Sequence[Array], window: Window, quality: int) -> bytes:
    left, top, width, height = window
    sprite = np.concatenate([p[top : top + height, left : left + width] for p in planes])
    done, data = cv2.imencode(".webp", sprite, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise CacappError(f"a crop of {width} x {height} px cannot be encoded")
    return bytes(data)
