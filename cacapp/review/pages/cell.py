"""One cell: everything about it, and the decisions on it."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlmodel import Session

from cacapp.db.cells.nuclei import read_verdicts
from cacapp.db.cells.states import duplicate_of, places
from cacapp.db.review.readings import latest_sign_offs, reviews_of_cell
from cacapp.db.tables import FrameRow, Table
from cacapp.fish.review import REASONS
from cacapp.review.authorisation import DECIDE, Reviewer, Viewer, Visitor
from cacapp.review.cards import Card, cards
from cacapp.review.context import Desk, Tray, class_keys, slide_of_cell
from cacapp.review.forms import CellId, Group, ReviewIn
from cacapp.review.render import page
from cacapp.steps.review.decide import decide

router = APIRouter(include_in_schema=False)
CALL = Table.metadata.tables["cell_call"]


@router.get("/cells/{cell_id}")
def show(request: Request, visitor: Viewer, cell_id: CellId, group: Group = "flagged") -> HTMLResponse:
    """The cell's page; ``group`` says which cells are before and after it."""
    desk: Desk = request.app.state.desk
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_of_cell(session, cell_id), visitor.name)
        values = details(session, desk, tray, visitor, cell_id, group)
    part = request.headers.get("x-part") == "cell"
    return page(request, "cell_part.html.j2" if part else "cell.html.j2", visitor, **values)


@router.post("/cells/{cell_id}/reviews")
def write(
    request: Request,
    visitor: Reviewer,
    cell_id: CellId,
    body: ReviewIn,
    group: Group = "flagged",
    then: Annotated[str, Query(pattern="^(stay|next|card)$")] = "stay",
) -> HTMLResponse:
    """Writes a decision; answers with the cell as it is now, its card in the gallery, or the next cell of the group that is open."""
    desk: Desk = request.app.state.desk
    decide(desk.db, visitor.name, cell_id, body.action(), run_id=body.run_id, seen=body.seen, key=body.key)
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_of_cell(session, cell_id), visitor.name)
        if then == "card":
            (card,) = cards(session, desk, tray, [cell_id])
            return page(request, "cells.html.j2", visitor, tray=tray, group=group, cards=[card], more=None)
        target: int | None = cell_id
        if then == "next":
            target = next_open(tray, group, cell_id)
        if target is None:
            return page(request, "all_done.html.j2", visitor, tray=tray, group=group, last=cell_id)
        values = details(session, desk, tray, visitor, target, group)
    return page(request, "cell_part.html.j2", visitor, **values)


def next_open(tray: Tray, group: str, cell_id: int) -> int | None:
    """The next cell of the group after this one that nobody decided, from the start again at the end."""
    members = tray.ids(group if group not in ("open", "decided") else "flagged")
    position = tray.index.position
    after = bisect_right(members, position[cell_id], key=position.__getitem__)
    for other in (*members[after:], *members[:after]):
        if other != cell_id and not (other in tray.now and tray.now[other].decided):
            return other
    return None


def details(session: Session, desk: Desk, tray: Tray, visitor: Visitor, cell_id: int, group: str) -> dict[str, Any]:
    """What the cell's templates show."""
    run_id = tray.index.run.id
    (card,) = cards(session, desk, tray, [cell_id], context=True)
    ids = tray.ids(group)
    if cell_id not in ids:  # decided meanwhile, or opened from elsewhere
        group, ids = "all", tray.ids("all")
    place = ids.index(cell_id)
    history = reviews_of_cell(session, cell_id, run_id, tray.view.shown)
    call = session.connection().execute(CALL.select().where(CALL.c.cell_id == cell_id, CALL.c.run_id == run_id)).mappings().one()
    frame = session.get_one(FrameRow, card.frame_id)
    signed = latest_sign_offs(session, [tray.patient.id]).get(tray.patient.id)
    locked = signed is not None and signed[1] is None
    where = places(session, [cell_id])[cell_id]
    assay = tray.index.assay
    return {
        "tray": tray,
        "card": card,
        "group": group,
        "place": place + 1,
        "total": len(ids),
        "before": ids[place - 1] if place else None,
        "after": ids[place + 1] if place + 1 < len(ids) else None,
        "history": history,
        "call": call,
        "verdicts": read_verdicts(session, cell_id),
        "frame": frame,
        "where": where,
        "area_um2": where.area_px * frame.pixel_size_um**2 if frame.pixel_size_um else None,
        "duplicate_of": duplicate_of(session, run_id, cell_id),
        "locked": locked,
        "may": visitor.may(DECIDE) and not locked,
        "reasons": REASONS,
        "keys": class_keys(assay.class_names),
        "rule": next((c.description for c in assay.classes if c.name == card.machine.class_), ""),
        "data": _for_script(card, tray, run_id, group),
    }


def _for_script(card: Card, tray: Tray, run_id: int, group: str) -> dict[str, Any]:
    """What the page's script has to know."""
    return {
        "cell": card.cell_id,
        "run": run_id,
        "seen": card.seen,
        "group": group,
        "left": card.left,
        "top": card.top,
        "width": card.width,
        "height": card.height,
        "probes": list(tray.index.assay.channels),
        "keys": class_keys(tray.index.assay.class_names),
    }
