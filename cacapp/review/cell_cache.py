"""What a finished count run says of a cell, as pages draw it: it never changes, so that it is looked up once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from sqlmodel import Session, col, select

from cacapp.db.cells.states import Place, dots_of_cells, machine_states, places, places_near
from cacapp.db.tables import ChannelRow, FrameRow, Run
from cacapp.fish.review import Dot, State
from cacapp.review.crops import CONTEXT, VERSION_LENGTH, Crops, Window, outline
from cacapp.review.not_found import NotFound

KEPT = 8000


@dataclass(frozen=True, slots=True)
class Portrait:
    """A cell and its picture as the software left them.

    Attributes:
        window: of the picture in the frame; ``context``: it is the cell page's, wider than the gallery's.
        etag: of the picture. channels: of the frame, in the picture from the top.
        path: outline as an SVG path in the window's px; ``neighbours``: those of other nuclei in it, (cell id, path).
    """

    place: Place
    frame: FrameRow
    machine: State
    dots: tuple[Dot, ...]
    window: Window
    context: bool
    etag: str
    channels: tuple[str, ...]
    path: str
    neighbours: tuple[tuple[int, str], ...] = ()

    @property
    def version(self) -> str:
        """What stands of the ETag in the picture's address."""
        return self.etag[:VERSION_LENGTH]


class Portraits:
    """The cells looked at last. Safe to use from many threads."""

    def __init__(self, crops: Crops) -> None:
        self._crops = crops
        self._known: OrderedDict[tuple[int, int, bool], Portrait] = OrderedDict()
        self._lock = threading.Lock()

    def of(
        self, session: Session, run: Run, channels: Sequence[str], cell_ids: Sequence[int], *, context: bool = False
    ) -> dict[int, Portrait]:
        """Cell id to its portrait. ``channels``: the assay's order. ``context``: with a wider window and the neighbours in it.

        Raises:
            NotFound: a cell is not among those the count run called.
        """
        run_id = run.id
        found = self.known(run_id, cell_ids, context=context)
        missing = [c for c in cell_ids if c not in found]
        if missing:
            made = self._made(session, run, channels, missing, context)
            with self._lock:
                self._known.update({(run_id, c, context): portrait for c, portrait in made.items()})
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            found |= made
        return found

    def known(self, run_id: int, cell_ids: Iterable[int], *, context: bool = False) -> dict[int, Portrait]:
        """Those that need no look into the record."""
        found = {}
        with self._lock:
            for cell_id in cell_ids:
                key = (run_id, cell_id, context)
                if (portrait := self._known.get(key)) is not None:
                    self._known.move_to_end(key)
                    found[cell_id] = portrait
        return found

    def _made(self, session: Session, run: Run, order: Sequence[str], cell_ids: Sequence[int], context: bool) -> dict[int, Portrait]:
        run_id, segment_run = run.id, cast(int, run.source_run_id)
        found, machine = places(session, cell_ids), machine_states(session, run_id, cell_ids)
        if gone := [c for c in cell_ids if c not in found or c not in machine]:
            raise NotFound(f"cell {gone[0]} is not among those of the slide's latest count")
        dots = dots_of_cells(session, run_id, cell_ids)
        frame_ids = {p.frame_id for p in found.values()}
        frames = {f.id: f for f in session.exec(select(FrameRow).where(col(FrameRow.id).in_(frame_ids)))}
        channels = _channels(session, frame_ids)
        side = self._crops.side_px(segment_run)
        side = round(side * CONTEXT) if context else side
        made = {}
        for cell_id in cell_ids:
            place = found[cell_id]
            frame = frames[place.frame_id]
            window = self._crops.window(place, frame, side)
            near = places_near(session, segment_run, place.frame_id, window) if context else []
            made[cell_id] = Portrait(
                place,
                frame,
                replace(machine[cell_id], counts={c: machine[cell_id].counts.get(c, 0) for c in order}),
                tuple(dots[cell_id]),
                window,
                context,
                self._crops.etag(place, frame, side),
                channels[place.frame_id],
                outline(place, window),
                tuple((p.cell_id, outline(p, window)) for p in near if p.cell_id != cell_id),
            )
        return made


def _channels(session: Session, frame_ids: set[int]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    query = select(ChannelRow).where(col(ChannelRow.frame_id).in_(frame_ids)).order_by(col(ChannelRow.frame_id), col(ChannelRow.index))
    for row in session.exec(query):
        found.setdefault(row.frame_id, []).append(row.name)
    return {frame: tuple(names) for frame, names in found.items()}
