"""The frame map: zoomable tiles with the outlines of the nuclei."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session, col, select

from cacapp.db.cells.places import places
from cacapp.db.tables import ChannelRow, FrameRow
from cacapp.report import palette
from cacapp.review.authorisation import Viewer
from cacapp.review.context import context_of
from cacapp.review.crops import polygons
from cacapp.review.forms import Id
from cacapp.review.not_found import NotFound
from cacapp.review.render import page
from cacapp.review.routing import Route, draws
from cacapp.review.tiles import TILE_PX, max_zoom

router = APIRouter(include_in_schema=False, route_class=Route)


@router.get("/frames/{frame_id}")
def show(request: Request, visitor: Viewer, frame_id: Id, cell: Annotated[int | None, Query(ge=1, le=2**53 - 1)] = None) -> HTMLResponse:
    """Show the frame, with ``cell`` in the centre."""
    context = context_of(request)
    with context.db.reading() as session:
        frame = _frame(session, frame_id)
        view = context.slide_view(session, frame.slide_id, visitor)
        channels = list(session.exec(select(ChannelRow.name).where(ChannelRow.frame_id == frame_id).order_by(col(ChannelRow.index))))
        place = places(session, [cell]).get(cell) if cell else None
    if cell is not None and (place is None or place.frame_id != frame_id):
        raise NotFound("this cell is not on this frame")
    zoom = max_zoom(frame.height_px, frame.width_px)
    data = {
        "frame": frame_id,
        "height": frame.height_px,
        "width": frame.width_px,
        "zoom": zoom,
        "tile": TILE_PX,
        "channels": channels,
        "pixel": frame.pixel_size_um,
        "cell": None if place is None else {"id": cell, "y": place.y_px, "x": place.x_px},
    }
    return page(request, "frame.html.j2", visitor, frame=frame, view=view, channels=channels, data=data, cell=cell)


@router.get("/frames/{frame_id}/outlines.json")
@draws
def outlines(request: Request, visitor: Viewer, frame_id: Id) -> dict[str, Any]:
    """Return the frame's nuclei: contours in px, class and colour after review."""
    context = context_of(request)
    with context.db.reading() as session:
        frame = _frame(session, frame_id)
        view = context.slide_view(session, frame.slide_id, visitor)
        ids = [c.cell_id for c in view.index.by_frame.get(frame_id, [])]
        cells = view.read_cells(session, ids)
    return {
        "nuclei": [
            {
                "id": cell.place.cell_id,
                "label": cell.place.label,
                "class": cell.state.label,
                "flagged": cell.machine.flagged,
                "decided": cell.state.decided,
                "colour": palette.css(palette.of_class(cell.state.class_ if cell.state.evaluable else None)),
                "rings": polygons(cell.place),
            }
            for cell in cells
        ]
    }


@router.get("/frames/{frame_id}/tiles/{zoom}/{column}/{row}.webp")
@draws
def tile(
    request: Request,
    visitor: Viewer,
    frame_id: Id,
    zoom: int,
    column: int,
    row: int,
    channels: Annotated[str, Query(max_length=200)] = "DAPI",
) -> Response:
    """Return a tile: the sum of the channels in the colours of their dyes."""
    context = context_of(request)
    with context.db.reading() as session:
        frame = _frame(session, frame_id)
    if not (0 <= zoom <= 20 and 0 <= column < 2**20 and 0 <= row < 2**20):
        raise NotFound("there is no such tile")
    chosen = list(dict.fromkeys(c for c in channels.split(",") if c))
    data = context.tiles.tile(frame_id, (frame.height_px, frame.width_px), zoom, column, row, chosen)
    return Response(data, media_type="image/webp", headers={"Cache-Control": "private, max-age=3600"})


def _frame(session: Session, frame_id: int) -> FrameRow:
    frame = session.get(FrameRow, frame_id)
    if frame is None:
        raise NotFound("there is no such frame")
    return frame
