"""The cell page: pictures, call, decisions and history of one cell."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.cells.nuclei import read_verdicts
from cacapp.db.cells.states import duplicate_of
from cacapp.db.review.readings import latest_sign_offs, reviews_of_cell
from cacapp.db.tables import CellCall
from cacapp.review.authorisation import Reviewer, Viewer, Visitor
from cacapp.review.cards import Card, cards
from cacapp.review.context import ReviewContext, SlideView, class_keys, context_of, slide_of_cell
from cacapp.review.forms import CellId, Group, ReviewIn
from cacapp.review.render import page
from cacapp.review.routing import Route
from cacapp.steps.review.decide import decide
from cacapp.steps.review.roles import DECIDE

router = APIRouter(include_in_schema=False, route_class=Route)


@router.get("/cells/{cell_id}")
def show(request: Request, visitor: Viewer, cell_id: CellId, group: Group = "flagged") -> HTMLResponse:
    """Show the cell's page; ``group``: the cells that "next" and "previous" go through."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_of_cell(session, cell_id), visitor)
        values = cell_values(session, context, view, visitor, cell_id, group)
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
    """Write a decision; return the cell after it, its card in the gallery, or the next open cell of the group."""
    context = context_of(request)
    decide(context.db, visitor.name, cell_id, body.action(), run_id=body.run_id, seen=body.seen, key=body.key)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_of_cell(session, cell_id), visitor)
        if then == "card":
            (card,) = cards(session, context, view, [cell_id])
            return page(request, "cells.html.j2", visitor, view=view, group=group, cards=[card], more=None)
        target: int | None = cell_id
        if then == "next":
            target = next_open(view, group, cell_id)
        if target is None:
            return page(request, "all_done.html.j2", visitor, view=view, group=group, last=cell_id)
        values = cell_values(session, context, view, visitor, target, group)
    return page(request, "cell_part.html.j2", visitor, **values)


def next_open(view: SlideView, group: str, cell_id: int) -> int | None:
    """Return the next cell of the group without a decision; after the last cell the search goes on with the first."""
    members = view.cell_ids(group if group not in ("open", "decided") else "flagged")
    position = view.index.position
    after = bisect_right(members, position[cell_id], key=position.__getitem__)
    for other in (*members[after:], *members[:after]):
        if other != cell_id and not view.decided(other):
            return other
    return None


def cell_values(session: Session, context: ReviewContext, view: SlideView, visitor: Visitor, cell_id: int, group: str) -> dict[str, Any]:
    """Collect the values of the cell's templates."""
    run_id = view.index.run.id
    (card,) = cards(session, context, view, [cell_id], wide=True)
    ids = view.cell_ids(group)
    if cell_id not in ids:  # decided in the meantime, or opened by its address
        group, ids = "all", view.cell_ids("all")
    position = ids.index(cell_id)
    query = select(CellCall).where(col(CellCall.cell_id) == cell_id, col(CellCall.run_id) == run_id)
    call = session.connection().execute(query).mappings().one()
    frame = card.picture.frame
    signed = latest_sign_offs(session, [view.patient.id]).get(view.patient.id)
    locked = signed is not None and signed[1] is None
    assay = view.index.assay
    return {
        "view": view,
        "card": card,
        "group": group,
        "number": position + 1,
        "total": len(ids),
        "before": ids[position - 1] if position else None,
        "after": ids[position + 1] if position + 1 < len(ids) else None,
        "history": reviews_of_cell(session, cell_id, run_id, view.access.shown),
        "call": call,
        "verdicts": read_verdicts(session, cell_id),
        "area_um2": card.cell.place.area_px * frame.pixel_size_um**2 if frame.pixel_size_um else None,
        "duplicate_of": duplicate_of(session, run_id, cell_id),
        "locked": locked,
        "may": visitor.may(DECIDE) and not locked,
        "keys": class_keys(assay.class_names),
        "rule": next((c.description for c in assay.classes if c.name == card.cell.machine.class_), ""),
        "data": _script_data(card, view, run_id, group),
    }


def _script_data(card: Card, view: SlideView, run_id: int, group: str) -> dict[str, Any]:
    """Return the values that the page's script needs."""
    left, top, width, height = card.picture.window
    return {
        "cell": card.cell.place.cell_id,
        "run": run_id,
        "seen": card.seen,
        "group": group,
        "left": left,
        "top": top,
        "width": width,
        "height": height,
        "probes": list(view.index.assay.channels),
        "keys": class_keys(view.index.assay.class_names),
    }
