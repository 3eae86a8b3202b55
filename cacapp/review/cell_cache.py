"""Cells of finished count runs with all that a page draws; cached, since a finished run never changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from sqlmodel import Session, col, select

from cacapp.db.cells.places import Place, places, places_near
from cacapp.db.cells.states import dots_of_cells, machine_states
from cacapp.db.tables import ChannelRow, FrameRow, Run
from cacapp.fish.review import Dot, State
from cacapp.review.crops import VERSION_LENGTH, WIDE_WINDOW, Crops, Window, outline
from cacapp.review.not_found import NotFound

CAPACITY = 8000
"""Cells in memory."""


@dataclass(frozen=True, slots=True)
class CachedCell:
    """A cell and its picture before any review.

    Attributes:
        window: position and size of the picture in the frame. wide: the window is the cell page's, wider than the gallery's.
        etag: identifies the picture. channels: the frame's channels, from the top of the picture.
        path: the outline as an SVG path in px of the window. neighbours: (cell id, path) of other nuclei in the window.
    """

    place: Place
    frame: FrameRow
    machine: State
    dots: tuple[Dot, ...]
    window: Window
    wide: bool
    etag: str
    channels: tuple[str, ...]
    path: str
    neighbours: tuple[tuple[int, str], ...] = ()

    @property
    def version(self) -> str:
        """The start of the ETag, as the picture's address carries it."""
        return self.etag[:VERSION_LENGTH]


class CellCache:
    """The most recently used cells. Safe to use from many threads."""

    def __init__(self, crops: Crops) -> None:
        self._crops = crops
        self._cells: OrderedDict[tuple[int, int, bool], CachedCell] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, session: Session, run: Run, cell_ids: Sequence[int], *, wide: bool = False) -> dict[int, CachedCell]:
        """Return the cells by id, from the database where they are not cached. ``wide``: with the cell page's window and neighbours.

        Raises:
            NotFound: the count run did not call one of the cells.
        """
        found = self._cached(run.id, cell_ids, wide)
        missing = [c for c in cell_ids if c not in found]
        if missing:
            loaded = self._load(session, run, missing, wide)
            with self._lock:
                self._cells.update({(run.id, c, wide): cell for c, cell in loaded.items()})
                while len(self._cells) > CAPACITY:
                    self._cells.popitem(last=False)
            found |= loaded
        return found

    def _cached(self, run_id: int, cell_ids: Iterable[int], wide: bool) -> dict[int, CachedCell]:
        found = {}
        with self._lock:
            for cell_id in cell_ids:
                key = (run_id, cell_id, wide)
                if (cell := self._cells.get(key)) is not None:
                    self._cells.move_to_end(key)
                    found[cell_id] = cell
        return found

    def _load(self, session: Session, run: Run, cell_ids: Sequence[int], wide: bool) -> dict[int, CachedCell]:
        segment_run = cast(int, run.source_run_id)
        found, machine = places(session, cell_ids), machine_states(session, run.id, cell_ids)
        if missing := [c for c in cell_ids if c not in found or c not in machine]:
            raise NotFound(f"cell {missing[0]} is not part of the slide's latest count")
        dots = dots_of_cells(session, run.id, cell_ids)
        frame_ids = {p.frame_id for p in found.values()}
        frames = {f.id: f for f in session.exec(select(FrameRow).where(col(FrameRow.id).in_(frame_ids)))}
        channels = _channels(session, frame_ids)
        side = self._crops.side_px(segment_run)
        side = round(side * WIDE_WINDOW) if wide else side
        loaded = {}
        for cell_id in cell_ids:
            place = found[cell_id]
            frame = frames[place.frame_id]
            window = self._crops.window(place, frame, side)
            near = places_near(session, segment_run, place.frame_id, window) if wide else []
            loaded[cell_id] = CachedCell(
                place,
                frame,
                machine[cell_id],
                tuple(dots[cell_id]),
                window,
                wide,
                self._crops.etag(place, frame, side),
                channels[place.frame_id],
                outline(place, window),
                tuple((p.cell_id, outline(p, window)) for p in near if p.cell_id != cell_id),
            )
        return loaded


def _channels(session: Session, frame_ids: set[int]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    query = select(ChannelRow).where(col(ChannelRow.frame_id).in_(frame_ids)).order_by(col(ChannelRow.frame_id), col(ChannelRow.index))
    for row in session.exec(query):
        found.setdefault(row.frame_id, []).append(row.name)
    return {frame: tuple(names) for frame, names in found.items()}
