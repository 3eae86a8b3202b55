"""Cells with picture, outline and signals, as the gallery and the cell page draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlmodel import Session

from cacapp.db.review.readings import seen_ids
from cacapp.review.cell_cache import CachedCell
from cacapp.review.context import ReviewContext, SlideView
from cacapp.review.crops import VERSION_LENGTH
from cacapp.review.shown_cell import ShownCell, ShownSignal, shown_signals

CELLS_PER_SHEET = 20


@dataclass(frozen=True, slots=True)
class Card:
    """A cell and its picture.

    Attributes:
        cell: the call and the decision, as the viewer may see them.
        picture: window, outline and channels of the picture.
        signals: positions in px of the picture.
        url: address of a sheet of several pictures (``in_sheet``), or of the cell page's picture.
        seen: number of the newest review in the viewer's own position, 0 without one.
    """

    cell: ShownCell
    picture: CachedCell
    signals: tuple[ShownSignal, ...]
    url: str
    in_sheet: bool
    seen: int


def cards(session: Session, context: ReviewContext, view: SlideView, cell_ids: Sequence[int], *, wide: bool = False) -> list[Card]:
    """Return the cells' cards in the given order. ``wide``: for the cell page, with a wider window and the neighbours in it."""
    run = view.index.run
    pictures = context.cell_cache.get(session, run, cell_ids, wide=wide)
    sheets = {} if wide else _sheet_urls(view.slide.id, run.id, cell_ids, pictures)
    seen = seen_ids(session, run.id, view.access.own or "first", cell_ids)
    made = []
    for cell_id in cell_ids:
        picture = pictures[cell_id]
        cell = view.shown(picture.place, picture.machine)
        url = sheets.get(cell_id) or f"/cells/{cell_id}/sprite.webp?v={picture.version}"
        signals = tuple(shown_signals(picture.dots, cell.state, picture.window))
        made.append(Card(cell, picture, signals, url, cell_id in sheets, seen.get(cell_id, 0)))
    return made


def _sheet_urls(slide_id: int, run_id: int, cell_ids: Sequence[int], pictures: Mapping[int, CachedCell]) -> dict[int, str]:
    """Return for each cell the address of the sheet with its picture: a screen takes a few requests instead of dozens."""
    urls: dict[int, str] = {}
    for start in range(0, len(cell_ids), CELLS_PER_SHEET):
        ids = cell_ids[start : start + CELLS_PER_SHEET]
        version = sha256("".join(pictures[c].etag for c in ids).encode()).hexdigest()[:VERSION_LENGTH]
        urls |= dict.fromkeys(ids, f"/slides/{slide_id}/pictures?run={run_id}&cells={','.join(map(str, ids))}&v={version}")
    return urls
