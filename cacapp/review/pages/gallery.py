"""A slide's cells as a gallery."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from cacapp.db.cell_states import Place, places
from cacapp.db.reviews import readings
from cacapp.review.cards import cards
from cacapp.review.crops import CONTEXT, placed
from cacapp.review.desk import Desk, NotFound, class_keys, slide_of_cell
from cacapp.review.forms import CellId, Group, Id
from cacapp.review.guard import SIGN, Viewer
from cacapp.review.render import page
from cacapp.steps.carry_over import plan_carry_over
from cacapp.steps.second_reading import agreement

router = APIRouter(include_in_schema=False)
AT_ONCE = 60


@router.get("/slides/{slide_id}")
def show(request: Request, visitor: Viewer, slide_id: Id, group: Group = "flagged") -> HTMLResponse:
    """The gallery's page with its first cells; ``group``: flagged, open, decided, all, not-evaluable or a class."""
    desk: Desk = request.app.state.desk
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_id, visitor.name)
        run_id = cast(int, tray.index.run.id)
        ids = tray.ids(group)
        first = cards(session, desk, tray, ids[:AT_ONCE])
        sizes = tray.sizes()
        own = readings(session, [run_id]).get(run_id, [])
        carry = plan_carry_over(session, tray.index.run)
        compared = agreement(session, run_id) if tray.view.second == "finished" else None
    return page(
        request,
        "gallery.html.j2",
        visitor,
        tray=tray,
        group=group,
        sizes=sizes,
        cards=first,
        total=len(ids),
        more=AT_ONCE if len(ids) > AT_ONCE else None,
        channels=first[0].channels if first else ("DAPI", *tray.index.assay.channels),
        keys=class_keys(tray.index.assay.class_names),
        readings=own,
        agreement=compared,
        carry=carry,
        may_sign=visitor.may(SIGN),
    )


@router.get("/slides/{slide_id}/cells")
def more(
    request: Request, visitor: Viewer, slide_id: Id, start: Annotated[int, Query(ge=0, le=10_000_000)], group: Group = "flagged"
) -> HTMLResponse:
    """The gallery's next cells."""
    desk: Desk = request.app.state.desk
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_id, visitor.name)
        ids = tray.ids(group)
        found = cards(session, desk, tray, ids[start : start + AT_ONCE])
    following = start + AT_ONCE if len(ids) > start + AT_ONCE else None
    return page(request, "cells.html.j2", visitor, tray=tray, group=group, cards=found, more=following)


@router.get("/cells/{cell_id}/sprite.webp")
def sprite(
    request: Request,
    visitor: Viewer,
    cell_id: CellId,
    context: Annotated[int, Query(ge=0, le=1)] = 0,
    v: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """A cell's picture, its channels below each other. ``v`` only tells versions apart."""
    desk: Desk = request.app.state.desk
    known = desk.crops.remembered(cell_id, v)  # the page that asks has just looked all of it up
    if known is not None:
        headers = _kept(known.etag)
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(known.data, media_type="image/webp", headers=headers)
    with desk.db.reading() as session:
        index = desk.latest(session, slide_of_cell(session, cell_id))
        found = placed(session, cell_id)
        if found is None:
            raise NotFound("there is no such cell")
        place, frame = found
        side = round(desk.crops.side_px(cast(int, index.run.source_run_id)) * (CONTEXT if context else 1))
        headers = _kept(desk.crops.etag(place, frame, side))
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        companions: list[Place] = []
        if not desk.crops.drawn(place, frame, side):
            companions = list(places(session, [c.cell_id for c in index.by_frame.get(place.frame_id, []) if c.flagged]).values())
    made = desk.crops.sprite(place, frame, side, companions)
    return Response(made.data, media_type="image/webp", headers=headers)


def _kept(etag: str) -> dict[str, str]:
    return {"ETag": f'"{etag}"', "Cache-Control": "private, max-age=3600"}
