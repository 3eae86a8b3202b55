"""Cells as the pages draw them: where their picture is, their outline and signals in its px, and how they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from sqlmodel import Session, col, select

from cacapp.db.cell_states import Place, dots_of_cells, machine_states, places, places_near
from cacapp.db.reviews import seen_ids
from cacapp.db.tables import ChannelRow, FrameRow
from cacapp.fish.review import Dot, State, counts_now
from cacapp.review.crops import CONTEXT, VERSION_LENGTH, Window, outline
from cacapp.review.desk import Desk, NotFound, Tray


@dataclass(frozen=True, slots=True)
class Mark:
    """A signal on a picture. ``x, y``: px of the picture; ``source``: "auto" or "added", and ``value`` its number or place there."""

    channel: str
    x: float
    y: float
    counted: bool
    source: str
    value: int
    snr: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Card:
    """A cell and its picture.

    Attributes:
        machine, state: as the software called it, and as it stands for the viewer.
        url: of its sprite. width, height: of the picture's window, px. channels: of the sprite, from the top.
        path: outline as an SVG path; neighbours: those of other nuclei in the window, (cell id, path).
        by: who decided, None where nobody has. seen: number of the newest review in the viewer's own position, 0 for none.
    """

    cell_id: int
    label: int
    frame_id: int
    frame: str
    machine: State
    state: State
    margin: float | None
    url: str
    width: int
    height: int
    left: int
    top: int
    channels: tuple[str, ...]
    path: str
    marks: tuple[Mark, ...]
    by: str | None
    seen: int
    neighbours: tuple[tuple[int, str], ...] = ()

    @property
    def pattern(self) -> str:
        return "-".join(str(n) for n in self.state.counts.values())

    @property
    def machine_pattern(self) -> str:
        return "-".join(str(n) for n in self.machine.counts.values())


def cards(session: Session, desk: Desk, tray: Tray, cell_ids: Sequence[int], *, context: bool = False) -> list[Card]:
    """The cells in the order given. ``context``: with a wider window and the neighbours in it, for the cell's own page."""
    run_id, segment_run = cast(int, tray.index.run.id), cast(int, tray.index.run.source_run_id)
    found = places(session, cell_ids)
    if missing := [c for c in cell_ids if c not in found or c not in tray.index.by_id]:
        raise NotFound(f"cell {missing[0]} is not among those of the slide's latest count")
    machine = machine_states(session, run_id, cell_ids)
    dots = dots_of_cells(session, run_id, cell_ids)
    seen = seen_ids(session, run_id, tray.view.own or "first", cell_ids)
    frame_ids = {p.frame_id for p in found.values()}
    frames = {f.id: f for f in session.exec(select(FrameRow).where(col(FrameRow.id).in_(frame_ids)))}
    channels = _channels(session, frame_ids)
    side = round(desk.crops.side_px(segment_run) * (CONTEXT if context else 1))
    made = []
    for cell_id in cell_ids:
        place = found[cell_id]
        frame = frames[place.frame_id]
        window = desk.crops.window(place, frame, side)
        state = tray.now.get(cell_id, machine[cell_id])
        order = tray.index.assay.channels
        version = desk.crops.etag(place, frame, side)[:VERSION_LENGTH]
        near = _neighbours(session, segment_run, place, window) if context else ()
        made.append(
            Card(
                cell_id=cell_id,
                label=place.label,
                frame_id=place.frame_id,
                frame=frame.name,
                machine=_ordered(machine[cell_id], order),
                state=_ordered(state, order),
                margin=tray.index.by_id[cell_id].margin,
                url=f"/cells/{cell_id}/sprite.webp?{'context=1&' if context else ''}v={version}",
                width=window[2],
                height=window[3],
                left=window[0],
                top=window[1],
                channels=channels[place.frame_id],
                path=outline(place, window),
                marks=_marks(dots[cell_id], state, window),
                by=tray.by.get(cell_id),
                seen=seen.get(cell_id, 0),
                neighbours=near,
            )
        )
    return made


def _ordered(state: State, channels: Sequence[str]) -> State:
    return replace(state, counts={c: state.counts.get(c, 0) for c in channels})


def _neighbours(session: Session, segment_run: int, place: Place, window: Window) -> tuple[tuple[int, str], ...]:
    near = places_near(session, segment_run, place.frame_id, window)
    return tuple((p.cell_id, outline(p, window)) for p in near if p.cell_id != place.cell_id)


def _marks(dots: Sequence[Dot], state: State, window: Window) -> tuple[Mark, ...]:
    """The software's dots, then those a person added where it saw none."""
    left, top = window[0] - 0.5, window[1] - 0.5  # SVG's 0 is the first pixel's edge, not its centre
    marks = [
        Mark(d.channel, round(d.x_px - left, 1), round(d.y_px - top, 1), counts_now(state, d), "auto", d.number, round(d.snr, 1), d.reason)
        for d in dots
    ]
    for i, a in enumerate(state.added):
        if a.number is None:
            marks.append(Mark(a.channel, round(a.x_px - left, 1), round(a.y_px - top, 1), True, "added", i, None, None))
    return tuple(marks)


def _channels(session: Session, frame_ids: set[int]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    query = select(ChannelRow).where(col(ChannelRow.frame_id).in_(frame_ids)).order_by(col(ChannelRow.frame_id), col(ChannelRow.index))
    for row in session.exec(query):
        found.setdefault(row.frame_id, []).append(row.name)
    return {frame: tuple(names) for frame, names in found.items()}
