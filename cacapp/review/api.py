"""REST API for scripts and notebooks: patients, slides, cells and reviews as JSON, with a bearer token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator
from sqlmodel import Session

from cacapp.db.cells.states import dots_of_cells, duplicate_of
from cacapp.db.queries import latest_results
from cacapp.db.review.readings import latest_sign_offs, reviews, reviews_of_cell, seen_ids
from cacapp.db.tables import FrameRow, Patient, Slide
from cacapp.report.figures import COMPOSITE
from cacapp.results.reviewed import anyone_reviewed
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
from cacapp.review.authorisation import ApiReviewer, ApiViewer, Visitor
from cacapp.review.blind import Sight, sights
from cacapp.review.composite import composite
from cacapp.review.context import ReviewContext, context_of, slide_of_cell
from cacapp.review.forms import MAX_ID, CellId, Id, ReviewIn, storable
from cacapp.review.not_found import NotFound
from cacapp.review.routing import Route, draws
from cacapp.review.shown_cell import shown_signals
from cacapp.review.worklist import PatientLine, Worklist, worklist
from cacapp.steps.review.decide import decide

ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "no token, or an invalid one"},
    403: {"model": Problem, "description": "the token does not allow this"},
    404: {"model": Problem, "description": "not found"},
    422: {"model": Problem, "description": "the request is not valid"},
    503: {"model": Problem, "description": "the database is busy, or a frame's file is missing or has changed"},
}
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "somebody decided, counted or signed after the cell was read"}
}
NOT_JSON: dict[int | str, dict[str, Any]] = {400: {"model": Problem, "description": "the body is not JSON"}}
router = APIRouter(tags=["record"], responses=ERRORS, route_class=Route)
Start = Annotated[int, Query(ge=0, le=MAX_ID, description="how many to skip")]
Limit = Annotated[int, Query(ge=1, le=500, description="how many at most")]
Search = Annotated[str, Query(max_length=100), AfterValidator(storable)]


@router.get("/patients")
def patients(request: Request, visitor: ApiViewer, search: Search = "", start: Start = 0, limit: Limit = 50) -> Page[PatientOut]:
    """List patients by code, with the CAC counts of their newest result before and after review; ``search``: part of a code or barcode."""
    context = context_of(request)
    with context.db.reading() as session:
        found = worklist(session, context, visitor, search=search, start=start, limit=limit)
        return _page([_patient(session, context, line, visitor) for line in found.lines], found.total, start, limit)


@router.get("/patients/{patient_id}")
def patient(request: Request, visitor: ApiViewer, patient_id: Id) -> PatientOut:
    """Return one patient."""
    context = context_of(request)
    with context.db.reading() as session:
        row = session.get(Patient, patient_id)
        if row is None:
            raise NotFound("there is no such patient")
        found = worklist(session, context, visitor, only=patient_id)
        return _patient(session, context, found.lines[0], visitor)


@router.get("/slides")
def slides(request: Request, visitor: ApiViewer, search: Search = "", start: Start = 0, limit: Limit = 50) -> Page[SlideOut]:
    """List slides by patient code and barcode; ``search``: part of either."""
    context = context_of(request)
    with context.db.reading() as session:
        found = _slides(session, worklist(session, context, visitor, search=search, limit=MAX_ID))
    return _page(found[start : start + limit], len(found), start, limit)


@router.get("/slides/{slide_id}")
def slide(request: Request, visitor: ApiViewer, slide_id: Id) -> SlideOut:
    """Return one slide."""
    context = context_of(request)
    with context.db.reading() as session:
        row = session.get(Slide, slide_id)
        if row is None:
            raise NotFound("there is no such slide")
        found = _slides(session, worklist(session, context, visitor, only=row.patient_id))
        return next(s for s in found if s.id == slide_id)


@router.get("/slides/{slide_id}/cells")
def cells(
    request: Request, visitor: ApiViewer, slide_id: Id, group: Search = "flagged", start: Start = 0, limit: Limit = 50
) -> Page[CellOut]:
    """List cells of the slide's latest count; ``group``: flagged, open, decided, all, not-evaluable, or a class after review."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_id, visitor)
        ids = view.cell_ids(group)
        found = [CellOut.of(cell, view) for cell in view.read_cells(session, ids[start : start + limit])]
        return _page(found, len(ids), start, limit)


@router.get("/slides/{slide_id}/reviews")
def slide_reviews(
    request: Request,
    visitor: ApiViewer,
    slide_id: Id,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="only those with a larger number")] = 0,
    limit: Limit = 50,
) -> list[ReviewOut]:
    """List decisions on the slide's latest count by number. A second reader sees none of the first reading."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_id, visitor)
        rows = reviews(session, [view.index.run.id], after_id=after, limit=limit, positions=view.access.shown)
    return [ReviewOut.model_validate(row) for row in rows]


@router.get("/cells/{cell_id}")
def cell(request: Request, visitor: ApiViewer, cell_id: CellId) -> CellDetail:
    """Return a cell with its signals and decisions."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_of_cell(session, cell_id), visitor)
        run_id = view.index.run.id
        (shown,) = view.read_cells(session, [cell_id])
        dots = dots_of_cells(session, run_id, [cell_id])[cell_id]
        return CellDetail(
            **dict(CellOut.of(shown, view)),
            signals=[SignalOut.model_validate(s) for s in shown_signals(dots, shown.state)],
            reviews=[ReviewOut.model_validate(row) for row in reviews_of_cell(session, cell_id, run_id, view.access.shown)],
            seen=seen_ids(session, run_id, view.access.own or "first", [cell_id]).get(cell_id, 0),
            duplicate_of=duplicate_of(session, run_id, cell_id),
        )


@router.get("/cells/{cell_id}/crop.webp", response_class=Response, responses={200: {"content": {"image/webp": {}}}})
@draws
def crop(
    request: Request,
    visitor: ApiViewer,
    cell_id: CellId,
    channel: Annotated[Search, Query(description="composite, or a channel")] = COMPOSITE,
    side_px: Annotated[int, Query(ge=32, le=1024)] = 240,
) -> Response:
    """Draw the cell as in the report, with outline and signals after review."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_of_cell(session, cell_id), visitor)
        (shown,) = view.read_cells(session, [cell_id])
        frame = session.get_one(FrameRow, shown.place.frame_id)
        dots = dots_of_cells(session, view.index.run.id, [cell_id])[cell_id]
    picture = composite(context, view, shown, frame, dots, channel, side_px)
    return Response(picture.data, media_type=picture.media_type, headers={"Cache-Control": "private, no-store"})


@router.post("/cells/{cell_id}/reviews", responses={**CONFLICT, **NOT_JSON})
def write(request: Request, visitor: ApiReviewer, cell_id: CellId, body: ReviewIn) -> Written:
    """Write a decision on a cell. ``run_id`` and ``seen`` are the cell's ``count_run`` and ``seen``."""
    done = decide(context_of(request).db, visitor.name, cell_id, body.action(), run_id=body.run_id, seen=body.seen, key=body.key)
    return Written(review=ReviewOut.model_validate(done.review), reviewed=CellState.model_validate(done.state), repeated=done.repeated)


def _page(items: list[Any], total: int, start: int, limit: int) -> Page[Any]:
    return Page(items=items, total=total, next=start + limit if start + limit < total else None)


def _patient(session: Session, context: ReviewContext, line: PatientLine, visitor: Visitor) -> PatientOut:
    """Return a patient with the numbers after review as the visitor may see them, and record that they see them."""
    slide_ids = [s.slide_id for s in line.slides]
    context.looks.note(session, slide_ids, visitor)
    blind = Sight.BLIND in sights(session, slide_ids, visitor.name).values()
    result = next((r for r in latest_results(session, line.patient_id) if r.count_run_ids), None)
    found = None if result is None else context.reviewed(session, result, visitor.name)
    by_people = result is not None and anyone_reviewed(session, result)
    signed = latest_sign_offs(session, [line.patient_id]).get(line.patient_id)
    signature = None
    if signed is not None:
        row, amendment = signed
        signature = Signature(
            signer=row.signer,
            signed_at=row.signed_at,
            sha256=None if blind else row.sha256,
            open_again=amendment is not None,
            record=None if blind else row.record,
        )
    return PatientOut(
        id=line.patient_id,
        code=line.code,
        state=line.state,
        assay_name=None if result is None else result.assay_name,
        assay_version=None if result is None else result.assay_version,
        slides=[s.slide_id for s in line.slides],
        automatic=None if found is None else Numbers.model_validate(found.automatic),
        reviewed=Numbers.model_validate(found.reviewed) if found is not None and by_people else None,
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
