"""Pictures of single nuclei: one image with the channels below each other; the browser lays colours and contrast over them.

Drawn when first asked for, together with all other cells of the frame that need a person's look; kept in the cache folder.
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

from cacapp.arrays import rle
from cacapp.db.cells.states import CELL, Place
from cacapp.db.engine.session import Database
from cacapp.db.tables import FrameRow
from cacapp.exceptions import CacappError
from cacapp.report.figures import cell_window
from cacapp.review.pixels import Pixels
from cacapp.runs.files import write_atomically
from cacapp.types import Array

VERSION = 1
"""Of the pictures' making: a change gives them new names and ETags."""

MARGIN_PX = 10
TYPICAL_SHARE = 95
"""Percentile of the nuclei's longer sides that a window holds: one magnification for all, larger nuclei get a window of their own."""

SAMPLE = 3000
KNOWN = 50_000
VERSION_LENGTH = 12
"""Of a picture's ETag, so many characters stand in its address."""

CONTEXT = 1.4
"""The cell page's window is so many times the gallery's: neighbours are seen."""

SMOOTHING = 4
"""Outlines are taken from masks enlarged so many times and blurred: without a pixel's stairs."""

QUALITY = 92
Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sprite:
    """An encoded image (n * height, width): the channels in the frame's order below each other, grey, as Pixels brings them to 8 bit."""

    data: bytes
    etag: str


class Subject(Protocol):
    """What is drawn: a cell's place, the picture's window in its frame, and the picture's name."""

    @property
    def place(self) -> Place: ...
    @property
    def window(self) -> Window: ...
    @property
    def etag(self) -> str: ...


class Crops:
    """Sprites of cells. Safe to use from many threads."""

    def __init__(self, db: Database, pixels: Pixels, cache: Path) -> None:
        self._db = db
        self._pixels = pixels
        self._cache = cache / "crops"
        self.side_px = lru_cache(maxsize=64)(self._side_px)
        self._known: dict[tuple[int, str], str] = {}

    def etag(self, place: Place, frame: FrameRow, side_px: int) -> str:
        """Names a picture by all it depends on, without drawing it."""
        parts = (VERSION, frame.sha256, frame.scene, frame.projection, place.bbox_xywh, side_px, frame.slide_id)
        return sha256(repr(parts).encode()).hexdigest()[:32]

    def window(self, place: Place, frame: FrameRow, side_px: int) -> Window:
        """Left, top, width and height of the picture in the frame, in px."""
        own = max(place.bbox_xywh[2:]) + 2 * MARGIN_PX
        return cell_window(place.bbox_xywh, max(side_px, own), frame.height_px, frame.width_px)

    def remembered(self, cell_id: int, version: str) -> Sprite | None:
        """A picture that was served before, by what its address says of it; None where it was not, or is gone."""
        etag = self._known.get((cell_id, version))
        try:
            return None if etag is None else Sprite(self._file(etag).read_bytes(), etag)
        except OSError:
            return None

    def drawn(self, etag: str) -> bool:
        """Whether the picture is in the cache folder."""
        return self._file(etag).is_file()

    def ready(self, etag: str) -> Sprite | None:
        """A picture that is in the cache folder already."""
        try:
            return Sprite(self._file(etag).read_bytes(), etag)
        except OSError:
            return None

    def sprite(self, wanted: Subject, companions: Sequence[Subject] = ()) -> Sprite:
        """A cell's picture; where its frame has to be read, the companions', of the same frame, are drawn along with it.

        Raises CacappError where the frame's files are gone or changed since ingest.
        """
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[wanted.place.cell_id, wanted.etag[:VERSION_LENGTH]] = wanted.etag
        if (ready := self.ready(wanted.etag)) is not None:
            return ready
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
        """Side of the gallery's windows for the cells of a segmentation run."""
        with self._db.reading() as session:
            query = (
                select(CELL.c.bbox_w_px, CELL.c.bbox_h_px).where(CELL.c.run_id == segment_run_id, CELL.c.evaluable.is_(True)).limit(SAMPLE)
            )
            sides = [max(w, h) for w, h in session.connection().execute(query)]
        return int(np.percentile(sides, TYPICAL_SHARE)) + 2 * MARGIN_PX if sides else 64


def outline(place: Place, window: Window) -> str:
    """The nucleus' contour as an SVG path in the window's px, (0, 0) its top left corner."""
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
    """The nucleus' contours as (x, y) px in the frame."""
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
