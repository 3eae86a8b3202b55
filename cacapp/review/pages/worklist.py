"""The worklist: patients and slides with their review states, and the progress of running runs."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import AfterValidator

from cacapp.review.authorisation import Viewer, Watcher
from cacapp.review.context import context_of
from cacapp.review.forms import storable
from cacapp.review.live import Live
from cacapp.review.render import page
from cacapp.review.routing import Route, check_admitted
from cacapp.review.worklist import STATES, worklist

router = APIRouter(include_in_schema=False, route_class=Route)
PAGE_SIZE = 50
Search = Annotated[str, Query(max_length=100), AfterValidator(storable)]


@router.get("/")
def show(
    request: Request, visitor: Viewer, q: Search = "", state: Search = "", start: Annotated[int, Query(ge=0, le=10_000_000)] = 0
) -> HTMLResponse:
    """Show the worklist; the table alone where htmx asks for it."""
    context = context_of(request)
    live: Live = request.app.state.live
    with context.db.reading() as session:
        found = worklist(session, context, visitor, search=q.strip(), state=state if state in STATES else "", start=start, limit=PAGE_SIZE)
    part = request.headers.get("hx-request") == "true"
    return page(
        request,
        "worklist_table.html.j2" if part else "worklist.html.j2",
        visitor,
        found=found,
        q=q,
        state=state,
        start=start,
        page_size=PAGE_SIZE,
        states=STATES,
        running=live.runs(),
    )


@router.get("/events")
async def events(request: Request, visitor: Watcher) -> StreamingResponse:
    """Send the progress of running runs as server-sent events; they do not prolong a session."""
    live: Live = request.app.state.live
    live.require_place(visitor.name)
    stream = live.events(request.app.state.ended, visitor.name, partial(check_admitted, request))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
