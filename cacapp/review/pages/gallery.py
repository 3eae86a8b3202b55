"""A slide's cells as a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from cacapp.db.review.readings import readings
from cacapp.exceptions import CacappError
from cacapp.results.agreement import agreement
from cacapp.review.authorisation import SIGN, Viewer
from cacapp.review.cards import cards
from cacapp.review.cell_cache import Portrait
from cacapp.review.context import Desk, RunIndex, class_keys, slide_of_cell
from cacapp.review.forms import MAX_ID, CellId, Group, Id
from cacapp.review.render import page
from cacapp.steps.review.carry_over import plan_carry_over

router = APIRouter(include_in_schema=False)
AT_ONCE, AT_A_TIME = 60, 40
"""Cells of the first page, and those that come as one scrolls: few enough to be laid out within a frame or two."""


@router.get("/slides/{slide_id}")
def show(request: Request, visitor: Viewer, slide_id: Id, group: Group = "flagged") -> HTMLResponse:
    """The gallery's page with its first cells; ``group``: flagged, open, decided, all, not-evaluable or a class."""
    desk: Desk = request.app.state.desk
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_id, visitor.name)
        run_id = tray.index.run.id
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
        found = cards(session, desk, tray, ids[start : start + AT_A_TIME])
    following = start + AT_A_TIME if len(ids) > start + AT_A_TIME else None
    return page(request, "cells.html.j2", visitor, tray=tray, group=group, cards=found, more=following)


@router.get("/slides/{slide_id}/pictures")
def pictures(
    request: Request,
    visitor: Viewer,
    slide_id: Id,
    run: Annotated[int, Query(ge=1, le=MAX_ID)],
    cells: Annotated[str, Query(pattern=r"^[0-9]{1,15}(,[0-9]{1,15}){0,59}$")],
    v: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Pictures of some cells in one answer: for each a line "cell id, length" and that many bytes of WebP, 0 where it cannot be drawn.

    Those drawn before come first; the others follow as they are drawn. ``v`` only tells versions apart.
    """
    desk: Desk = request.app.state.desk
    ids = list(dict.fromkeys(int(c) for c in cells.split(",")))
    with desk.db.reading() as session:
        index = desk.counted(session, slide_id, run)
        portraits = desk.portraits.of(session, index.run, index.assay.channels, ids)
    headers = _kept(sha256("".join(portraits[c].etag for c in ids).encode()).hexdigest()[:32])
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    drawn = {c: sprite.data for c in ids if (sprite := desk.crops.ready(portraits[c].etag)) is not None}
    ready = b"".join(_framed(c, data) for c, data in drawn.items())
    kind = "application/octet-stream"
    if len(drawn) == len(ids):
        return Response(ready, media_type=kind, headers=headers)
    left = sorted((portraits[c] for c in ids if c not in drawn), key=lambda p: p.place.frame_id)
    return StreamingResponse(_drawn(desk, index, ready, left), media_type=kind, headers={"Cache-Control": "no-store"})


def _framed(cell_id: int, data: bytes) -> bytes:
    return b"%d %d\n%b" % (cell_id, len(data), data)


def _drawn(desk: Desk, index: RunIndex, ready: bytes, left: Sequence[Portrait]) -> Iterator[bytes]:
    """What is there already, then one picture after the other; with each, those of all flagged cells of its frame."""
    yield ready
    for portrait in left:
        try:
            yield _framed(portrait.place.cell_id, desk.crops.sprite(portrait, companions(desk, index, portrait)).data)
        except CacappError:
            yield _framed(portrait.place.cell_id, b"")


def companions(desk: Desk, index: RunIndex, portrait: Portrait) -> list[Portrait]:
    """The flagged cells of a frame, which are drawn along with a cell of it where that is not drawn yet."""
    if desk.crops.drawn(portrait.etag):
        return []
    ids = [c.cell_id for c in index.by_frame.get(portrait.place.frame_id, []) if c.flagged]
    with desk.db.reading() as session:
        return list(desk.portraits.of(session, index.run, index.assay.channels, ids, context=portrait.context).values())


@router.get("/cells/{cell_id}/sprite.webp")
def sprite(
    request: Request,
    visitor: Viewer,
    cell_id: CellId,
    v: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """The picture of a cell's own page, its channels below each other. ``v`` only tells versions apart."""
    desk: Desk = request.app.state.desk
    known = desk.crops.remembered(cell_id, v)  # the page that asks has just looked all of it up
    if known is not None:
        headers = _kept(known.etag)
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(known.data, media_type="image/webp", headers=headers)
    with desk.db.reading() as session:
        index = desk.latest(session, slide_of_cell(session, cell_id))
        (portrait,) = desk.portraits.of(session, index.run, index.assay.channels, [cell_id], context=True).values()
    headers = _kept(portrait.etag)
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    made = desk.crops.sprite(portrait, companions(desk, index, portrait))
    return Response(made.data, media_type="image/webp", headers=headers)


def _kept(etag: str) -> dict[str, str]:
    return {"ETag": f'"{etag}"', "Cache-Control": "private, max-age=3600"}
