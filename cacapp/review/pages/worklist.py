"""The start page: patients and slides, and runs as they go on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import AfterValidator

from cacapp.review.authorisation import Viewer, Watcher
from cacapp.review.context import Desk
from cacapp.review.forms import storable
from cacapp.review.live import Live
from cacapp.review.render import page
from cacapp.review.worklist import STATES, worklist

router = APIRouter(include_in_schema=False)
A_PAGE = 50
Search = Annotated[str, Query(max_length=100), AfterValidator(storable)]


@router.get("/")
def show(
    request: Request, visitor: Viewer, q: Search = "", state: Search = "", start: Annotated[int, Query(ge=0, le=10_000_000)] = 0
) -> HTMLResponse:
    """The worklist; asked for as a part, the table alone."""
    desk: Desk = request.app.state.desk
    live: Live = request.app.state.live
    with desk.db.reading() as session:
        found = worklist(session, desk, visitor.name, search=q.strip(), state=state if state in STATES else "", start=start, limit=A_PAGE)
    part = request.headers.get("hx-request") == "true"
    return page(
        request,
        "worklist_table.html.j2" if part else "worklist.html.j2",
        visitor,
        found=found,
        q=q,
        state=state,
        start=start,
        a_page=A_PAGE,
        states=STATES,
        running=live.runs(),
    )


@router.get("/events")
async def events(request: Request, visitor: Watcher) -> StreamingResponse:
    """Progress of running runs, as server-sent events; watching does not keep a session awake."""
    live: Live = request.app.state.live
    return StreamingResponse(live.events(request.app.state.ended), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
