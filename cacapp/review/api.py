"""The record as JSON, for scripts and notebooks: by bearer token, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator
from sqlmodel import Session

from cacapp.db.cells.states import dots_of_cells, duplicate_of, machine_states, places
from cacapp.db.review.readings import latest_sign_offs, reviews, reviews_of_cell, seen_ids
from cacapp.db.review.tables import Review
from cacapp.db.tables import FrameRow, Patient, Slide
from cacapp.fish.review import counts_now
from cacapp.report.figures import COMPOSITE
from cacapp.review.api_models import (
    CellDetail,
    CellOut,
    CellState,
    Numbers,
    Page,
    PatientOut,
    Problem,
    ReviewOut,
    SignalOut,
    Signature,
    SlideOut,
    Written,
)
from cacapp.review.authorisation import ApiReviewer, ApiViewer
from cacapp.review.composite import composite
from cacapp.review.context import Desk, Tray, slide_of_cell
from cacapp.review.forms import MAX_ID, CellId, Id, ReviewIn, storable
from cacapp.review.not_found import NotFound
from cacapp.review.worklist import PatientLine, Worklist, worklist
from cacapp.steps.review.decide import decide
from cacapp.steps.review.sign import latest_result

REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "no token, or none that holds"},
    403: {"model": Problem, "description": "the token may not do this"},
    404: {"model": Problem, "description": "there is none"},
    422: {"model": Problem, "description": "the request makes no sense"},
    503: {"model": Problem, "description": "the database is busy, or a frame's file is gone or has changed"},
}
CHANGED: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "decided, counted or signed meanwhile"}}
UNREADABLE: dict[int | str, dict[str, Any]] = {400: {"model": Problem, "description": "the body is no JSON"}}
router = APIRouter(tags=["record"], responses=REFUSED)
Start = Annotated[int, Query(ge=0, le=MAX_ID, description="how many to skip")]
Limit = Annotated[int, Query(ge=1, le=500, description="how many at most")]
Search = Annotated[str, Query(max_length=100), AfterValidator(storable)]


@router.get("/patients")
def patients(request: Request, visitor: ApiViewer, search: Search = "", start: Start = 0, limit: Limit = 50) -> Page[PatientOut]:
    """Patients by code, with CAC counts automatic and reviewed; ``search`` is part of a code or barcode."""
    desk = _desk(request)
    with desk.db.reading() as session:
        found = worklist(session, desk, visitor.name, search=search, start=start, limit=limit)
        return _page([_patient(session, desk, line, visitor.name) for line in found.lines], found.total, start, limit)


@router.get("/patients/{patient_id}")
def patient(request: Request, visitor: ApiViewer, patient_id: Id) -> PatientOut:
    """One patient."""
    desk = _desk(request)
    with desk.db.reading() as session:
        row = session.get(Patient, patient_id)
        if row is None:
            raise NotFound("there is no such patient")
        found = worklist(session, desk, visitor.name, search=row.code, limit=MAX_ID)
        return _patient(session, desk, next(line for line in found.lines if line.patient_id == patient_id), visitor.name)


@router.get("/slides")
def slides(request: Request, visitor: ApiViewer, search: Search = "", start: Start = 0, limit: Limit = 50) -> Page[SlideOut]:
    """Slides by their patient's code and barcode."""
    desk = _desk(request)
    with desk.db.reading() as session:
        everything = _slides(session, worklist(session, desk, visitor.name, search=search, limit=MAX_ID))
    return _page(everything[start : start + limit], len(everything), start, limit)


@router.get("/slides/{slide_id}")
def slide(request: Request, visitor: ApiViewer, slide_id: Id) -> SlideOut:
    """One slide."""
    desk = _desk(request)
    with desk.db.reading() as session:
        row = session.get(Slide, slide_id)
        if row is None:
            raise NotFound("there is no such slide")
        found = _slides(session, worklist(session, desk, visitor.name, search=row.barcode, limit=MAX_ID))
        return next(s for s in found if s.id == slide_id)


@router.get("/slides/{slide_id}/cells")
def cells(
    request: Request, visitor: ApiViewer, slide_id: Id, group: Search = "flagged", start: Start = 0, limit: Limit = 50
) -> Page[CellOut]:
    """Cells of the slide's latest count; ``group``: flagged, open, decided, all, not-evaluable, or a class as it stands."""
    desk = _desk(request)
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_id, visitor.name)
        ids = tray.ids(group)
        return _page(_cells(session, tray, ids[start : start + limit]), len(ids), start, limit)


@router.get("/slides/{slide_id}/reviews")
def slide_reviews(
    request: Request,
    visitor: ApiViewer,
    slide_id: Id,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="only those with a larger number")] = 0,
    limit: Limit = 50,
) -> list[ReviewOut]:
    """Decisions on the slide's latest count by number, those the token's owner may see: a second reader reads blind."""
    desk = _desk(request)
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_id, visitor.name)
        rows = reviews(session, [tray.index.run.id], after_id=after, limit=limit, positions=tray.view.shown)
    return [_review(row) for row in rows]


@router.get("/cells/{cell_id}")
def cell(request: Request, visitor: ApiViewer, cell_id: CellId) -> CellDetail:
    """A cell with its dots and its record."""
    desk = _desk(request)
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_of_cell(session, cell_id), visitor.name)
        run_id = tray.index.run.id
        (base,) = _cells(session, tray, [cell_id])
        state = tray.now.get(cell_id) or machine_states(session, run_id, [cell_id])[cell_id]
        signals = [
            SignalOut(
                channel=d.channel,
                source="auto",
                number=d.number,
                y_px=d.y_px,
                x_px=d.x_px,
                snr=d.snr,
                counts=counts_now(state, d),
                reason=d.reason,
            )
            for d in dots_of_cells(session, run_id, [cell_id])[cell_id]
        ]
        signals += [
            SignalOut(channel=a.channel, source="added", number=i, y_px=a.y_px, x_px=a.x_px, snr=None, counts=True, reason=None)
            for i, a in enumerate(state.added)
            if a.number is None
        ]
        history = reviews_of_cell(session, cell_id, run_id, tray.view.shown)
        return CellDetail(
            **dict(base),
            signals=signals,
            reviews=[_review(row) for row in history],
            seen=seen_ids(session, run_id, tray.view.own or "first", [cell_id]).get(cell_id, 0),
            duplicate_of=duplicate_of(session, run_id, cell_id),
        )


@router.get("/cells/{cell_id}/crop.webp", response_class=Response, responses={200: {"content": {"image/webp": {}}}})
def crop(
    request: Request,
    visitor: ApiViewer,
    cell_id: CellId,
    channel: Annotated[Search, Query(description="composite, or a channel")] = COMPOSITE,
    side_px: Annotated[int, Query(ge=32, le=1024)] = 240,
) -> Response:
    """The cell's picture as the report draws it, with outline and signals as they stand."""
    desk = _desk(request)
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_of_cell(session, cell_id), visitor.name)
        _cells(session, tray, [cell_id])
        place = places(session, [cell_id])[cell_id]
        frame = session.get_one(FrameRow, place.frame_id)
        run_id = tray.index.run.id
        state = tray.now.get(cell_id) or machine_states(session, run_id, [cell_id])[cell_id]
        dots = dots_of_cells(session, run_id, [cell_id])[cell_id]
    picture = composite(desk, tray, place, frame, state, dots, channel, side_px)
    return Response(picture.data, media_type=picture.media_type, headers={"Cache-Control": "private, no-store"})


@router.post("/cells/{cell_id}/reviews", responses={**CHANGED, **UNREADABLE})
def write(request: Request, visitor: ApiReviewer, cell_id: CellId, body: ReviewIn) -> Written:
    """Decide on a cell, as its page does. ``seen`` and ``count_run`` come from the cell."""
    done = decide(_desk(request).db, visitor.name, cell_id, body.action(), run_id=body.run_id, seen=body.seen, key=body.key)
    return Written(review=_review(done.review), reviewed=CellState.of(done.state), repeated=done.repeated)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _page(items: list[Any], total: int, start: int, limit: int) -> Page[Any]:
    return Page(items=items, total=total, next=start + limit if start + limit < total else None)


def _patient(session: Session, desk: Desk, line: PatientLine, viewer: str) -> PatientOut:
    result = latest_result(session, line.patient_id)
    found = desk.reviewed(session, result, viewer) if result is not None and result.count_run_ids else None
    signed = latest_sign_offs(session, [line.patient_id]).get(line.patient_id)
    signature = None
    if signed is not None:
        row, amendment = signed
        signature = Signature(
            signer=row.signer, signed_at=row.signed_at, sha256=row.sha256, open_again=amendment is not None, record=row.record
        )
    return PatientOut(
        id=line.patient_id,
        code=line.code,
        state=line.state,
        slides=[s.slide_id for s in line.slides],
        automatic=None if found is None else Numbers.of(found.automatic),
        reviewed=None if found is None else Numbers.of(found.reviewed),
        cells_decided=found.decided if found else 0,
        cells_open=found.open if found else 0,
        signature=signature,
    )


def _slides(session: Session, found: Worklist) -> list[SlideOut]:
    return [
        SlideOut(
            id=s.slide_id,
            barcode=s.barcode,
            patient=line.code,
            patient_id=line.patient_id,
            blood_volume_ul=session.get_one(Slide, s.slide_id).blood_volume_ul,
            state=s.state,
            qc=s.qc,
            count_run=s.run_id,
            flagged=s.flagged,
            open=s.open,
        )
        for line in found.lines
        for s in line.slides
    ]


def _cells(session: Session, tray: Tray, ids: Sequence[int]) -> list[CellOut]:
    run_id = tray.index.run.id
    if missing := [c for c in ids if c not in tray.index.by_id]:
        raise NotFound(f"cell {missing[0]} is not among those of the slide's latest count")
    machine, found = machine_states(session, run_id, ids), places(session, ids)
    return [
        CellOut(
            id=c,
            slide_id=tray.slide.id,
            frame_id=found[c].frame_id,
            label=found[c].label,
            y_px=found[c].y_px,
            x_px=found[c].x_px,
            area_px=found[c].area_px,
            bbox_xywh=found[c].bbox_xywh,
            margin=tray.index.by_id[c].margin,
            automatic=CellState.of(machine[c]),
            reviewed=CellState.of(tray.now.get(c, machine[c])),
            decided_by=tray.by.get(c) if c in tray.now and tray.now[c].decided else None,
            count_run=run_id,
        )
        for c in ids
    ]


def _review(row: Review) -> ReviewOut:
    return ReviewOut.model_validate(row, from_attributes=True)
