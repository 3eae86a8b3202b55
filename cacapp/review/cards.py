"""Cells as the pages draw them: where their picture is, their outline and signals in its px, and how they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from sqlmodel import Session

from cacapp.db.review.readings import seen_ids
from cacapp.fish.review import Dot, State, counts_now
from cacapp.review.cell_cache import Portrait
from cacapp.review.context import Desk, Tray
from cacapp.review.crops import VERSION_LENGTH, Window

IN_A_SHEET = 20


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
        picture: where its pixels come from: a sheet of several cells' pictures (``in_sheet``), or the cell page's own picture.
        version: of the picture. width, height: of the picture's window, px. channels: of the sprite, from the top.
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
    version: str
    picture: str
    in_sheet: bool
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
    index = tray.index
    portraits = desk.portraits.of(session, index.run, index.assay.channels, cell_ids, context=context)
    sheets = {} if context else _sheets(tray.slide.id, index.run.id, cell_ids, portraits)
    seen = seen_ids(session, index.run.id, tray.view.own or "first", cell_ids)
    made = []
    for cell_id in cell_ids:
        portrait = portraits[cell_id]
        place, window = portrait.place, portrait.window
        state = tray.now.get(cell_id)
        state = portrait.machine if state is None else replace(state, counts={c: state.counts.get(c, 0) for c in index.assay.channels})
        made.append(
            Card(
                cell_id=cell_id,
                label=place.label,
                frame_id=place.frame_id,
                frame=portrait.frame.name,
                machine=portrait.machine,
                state=state,
                margin=index.by_id[cell_id].margin,
                version=portrait.version,
                picture=sheets.get(cell_id) or f"/cells/{cell_id}/sprite.webp?v={portrait.version}",
                in_sheet=cell_id in sheets,
                width=window[2],
                height=window[3],
                left=window[0],
                top=window[1],
                channels=portrait.channels,
                path=portrait.path,
                marks=_marks(portrait.dots, state, window),
                by=tray.by.get(cell_id),
                seen=seen.get(cell_id, 0),
                neighbours=portrait.neighbours,
            )
        )
    return made


def _sheets(slide_id: int, run_id: int, cell_ids: Sequence[int], portraits: Mapping[int, Portrait]) -> dict[int, str]:
    """Cell id to the address that brings its picture together with those beside it: a screen is a few requests, not dozens."""
    found: dict[int, str] = {}
    for start in range(0, len(cell_ids), IN_A_SHEET):
        some = cell_ids[start : start + IN_A_SHEET]
        version = sha256("".join(portraits[c].etag for c in some).encode()).hexdigest()[:VERSION_LENGTH]
        found |= dict.fromkeys(some, f"/slides/{slide_id}/pictures?run={run_id}&cells={','.join(map(str, some))}&v={version}")
    return found


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
