"""The gallery: the cells of a slide, and their pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from cacapp.db.review.readings import readings
from cacapp.exceptions import CacappError
from cacapp.results.agreement import agreement
from cacapp.results.carry_over import plan_carry_over
from cacapp.review.authorisation import Viewer, Visitor
from cacapp.review.cards import cards
from cacapp.review.cell_cache import CachedCell
from cacapp.review.context import ReviewContext, RunIndex, class_keys, context_of, slide_of_cell
from cacapp.review.forms import MAX_ID, CellId, Group, Id
from cacapp.review.render import page
from cacapp.review.routing import Route, check_admitted, draws, in_lane
from cacapp.steps.review.roles import SIGN

router = APIRouter(include_in_schema=False, route_class=Route)
FIRST_CELLS, MORE_CELLS = 60, 40
"""Cells on the first screen, and those loaded at a time on scrolling: few enough for the browser to lay them out within 1/30 s."""


@router.get("/slides/{slide_id}")
def show(request: Request, visitor: Viewer, slide_id: Id, group: Group = "flagged") -> HTMLResponse:
    """Show the gallery with its first cells; ``group``: flagged, open, decided, all, not-evaluable or a class."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_id, visitor)
        run_id = view.index.run.id
        ids = view.cell_ids(group)
        first = cards(session, context, view, ids[:FIRST_CELLS])
        sizes = view.group_sizes()
        own = readings(session, [run_id]).get(run_id, [])
        blind = view.access.own == "second" and view.access.second == "open"
        carry = None if blind else plan_carry_over(session, view.index.run)
        compared = agreement(session, run_id) if view.access.second == "finished" else None
    return page(
        request,
        "gallery.html.j2",
        visitor,
        view=view,
        group=group,
        sizes=sizes,
        cards=first,
        total=len(ids),
        more=FIRST_CELLS if len(ids) > FIRST_CELLS else None,
        channels=first[0].picture.channels if first else ("DAPI", *view.index.assay.channels),
        keys=class_keys(view.index.assay.class_names),
        readings=own,
        agreement=compared,
        carry=carry,
        may_sign=visitor.may(SIGN),
    )


@router.get("/slides/{slide_id}/cells")
def more(
    request: Request, visitor: Viewer, slide_id: Id, start: Annotated[int, Query(ge=0, le=10_000_000)], group: Group = "flagged"
) -> HTMLResponse:
    """Return the next cells of the gallery."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_id, visitor)
        ids = view.cell_ids(group)
        found = cards(session, context, view, ids[start : start + MORE_CELLS])
    following = start + MORE_CELLS if len(ids) > start + MORE_CELLS else None
    return page(request, "cells.html.j2", visitor, view=view, group=group, cards=found, more=following)


@router.get("/slides/{slide_id}/pictures")
@draws
def pictures(
    request: Request,
    visitor: Viewer,
    slide_id: Id,
    run: Annotated[int, Query(ge=1, le=MAX_ID)],
    cells: Annotated[str, Query(pattern=r"^[0-9]{1,15}(,[0-9]{1,15}){0,59}$")],
    v: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Return the pictures of several cells: for each a line "cell id, length", then that many bytes of WebP; length 0 on failure.

    Pictures in the cache come first; the others follow as they are drawn. ``v``: the version, for the browser's cache alone.
    """
    context = context_of(request)
    ids = list(dict.fromkeys(int(c) for c in cells.split(",")))
    with context.db.reading() as session:
        index = context.index_of_slide(session, slide_id, run)
        cells_by_id = context.cell_cache.get(session, index.run, ids)
    headers = _cache_headers(sha256("".join(cells_by_id[c].etag for c in ids).encode()).hexdigest()[:32])
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    cached = {c: sprite.data for c in ids if (sprite := context.crops.read(cells_by_id[c].etag)) is not None}
    ready = b"".join(_record(c, data) for c, data in cached.items())
    kind = "application/octet-stream"
    if len(cached) == len(ids):
        return Response(ready, media_type=kind, headers=headers)
    missing = sorted((cells_by_id[c] for c in ids if c not in cached), key=lambda cell: cell.place.frame_id)
    return StreamingResponse(_stream(request, visitor, index, ready, missing), media_type=kind, headers={"Cache-Control": "no-store"})


def _record(cell_id: int, data: bytes) -> bytes:
    return b"%d %d\n%b" % (cell_id, len(data), data)


async def _stream(request: Request, visitor: Visitor, index: RunIndex, ready: bytes, missing: Sequence[CachedCell]) -> AsyncIterator[bytes]:
    """Yield the cached pictures, then draw the missing ones; each frame's other flagged cells are drawn along with it."""
    context = context_of(request)
    yield ready
    for _, cells in groupby(missing, key=lambda cell: cell.place.frame_id):
        for cell in cells:
            work = partial(_drawn, context, index, cell)
            yield _record(cell.place.cell_id, await in_lane(request, visitor, "draw", work))
        try:
            await check_admitted(request)
        except CacappError:
            return


def _drawn(context: ReviewContext, index: RunIndex, cell: CachedCell) -> bytes:
    try:
        return context.crops.sprite(cell, companions(context, index, cell)).data
    except CacappError:
        return b""


def companions(context: ReviewContext, index: RunIndex, cell: CachedCell) -> list[CachedCell]:
    """Return the flagged cells of the cell's frame, to be drawn along with it; none if its picture is in the cache."""
    if context.crops.is_cached(cell.etag):
        return []
    ids = [c.cell_id for c in index.by_frame.get(cell.place.frame_id, []) if c.flagged]
    with context.db.reading() as session:
        return list(context.cell_cache.get(session, index.run, ids, wide=cell.wide).values())


@router.get("/cells/{cell_id}/sprite.webp")
@draws
def sprite(
    request: Request,
    visitor: Viewer,
    cell_id: CellId,
    v: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Return the cell page's picture, the channels below each other. ``v``: the version, for the browser's cache alone."""
    context = context_of(request)
    known = context.crops.known(cell_id, v)  # the page has just requested the cell from the database
    if known is not None:
        headers = _cache_headers(known.etag)
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(known.data, media_type="image/webp", headers=headers)
    with context.db.reading() as session:
        index = context.latest_index(session, slide_of_cell(session, cell_id))
        (cell,) = context.cell_cache.get(session, index.run, [cell_id], wide=True).values()
    headers = _cache_headers(cell.etag)
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    made = context.crops.sprite(cell, companions(context, index, cell))
    return Response(made.data, media_type="image/webp", headers=headers)


def _cache_headers(etag: str) -> dict[str, str]:
    return {"ETag": f'"{etag}"', "Cache-Control": "private, max-age=3600"}
