"""The report as HTML and PDF, and the page that shows its place in the queue while it is built."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from cacapp.db.queries import latest_results
from cacapp.db.tables import Patient
from cacapp.review.authorisation import Viewer
from cacapp.review.blind import patient_sight, require_sighted, slides_of
from cacapp.review.context import ReviewContext, context_of
from cacapp.review.forms import Id
from cacapp.review.not_found import NotFound
from cacapp.review.render import page
from cacapp.review.reports import Reports
from cacapp.review.routing import Route, in_lane
from cacapp.runs.files import file_name

router = APIRouter(include_in_schema=False, route_class=Route)
WAIT_S = 0.6
"""A report that is ready by then is the answer itself; otherwise the answer is its place in the queue."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The report is one file with its style and without scripts."""


@router.get("/patients/{patient_id}/report")
async def show(request: Request, visitor: Viewer, patient_id: Id) -> Response:
    """Show the report as one file."""
    code = await in_lane(request, visitor, "read", partial(_reported, context_of(request), patient_id, visitor))
    data = await _built(request, visitor, patient_id, code, pdf=False)
    return data if isinstance(data, Response) else HTMLResponse(data, headers={"Content-Security-Policy": POLICY})


@router.get("/patients/{patient_id}/report.pdf")
async def show_pdf(request: Request, visitor: Viewer, patient_id: Id) -> Response:
    """Return the report as a PDF."""
    code = await in_lane(request, visitor, "read", partial(_reported, context_of(request), patient_id, visitor))
    data = await _built(request, visitor, patient_id, code, pdf=True)
    if isinstance(data, Response):
        return data
    headers = {"Content-Disposition": f'attachment; filename="{file_name(code)}.pdf"'}
    return Response(data, media_type="application/pdf", headers=headers)


@router.get("/patients/{patient_id}/report/place")
async def place(request: Request, visitor: Viewer, patient_id: Id, pdf: Annotated[bool, Query()] = False) -> dict[str, Any]:
    """Return whether a report that the visitor waits for is ready, and its place in the queue, 0 in work."""
    reports: Reports = request.app.state.reports
    job = reports.known(visitor, patient_id, pdf)
    if job is None:
        raise NotFound("you have not asked for this report, or have it already")
    return {"ready": job.built.done(), "place": reports.place(job)}


async def _built(request: Request, visitor: Viewer, patient_id: int, code: str, *, pdf: bool) -> bytes | Response:
    """Return the report if it is ready soon, else the answer that shows its place."""
    reports: Reports = request.app.state.reports
    job = reports.ask(visitor, patient_id, pdf)
    if await reports.wait(job, WAIT_S):
        return reports.take(visitor, patient_id, pdf)
    ahead = reports.place(job)
    if "text/html" not in request.headers.get("accept", ""):
        waiting = "the report is being built" if not ahead else f"the report is number {ahead} in the queue"
        return JSONResponse({"detail": f"{waiting}; ask again", "place": ahead}, 202, {"Retry-After": "2"})
    values = {"patient_id": patient_id, "code": code, "pdf": pdf, "place": ahead}
    answer = page(request, "report_waiting.html.j2", visitor, status=202, **values)
    answer.headers["Retry-After"] = "2"
    return answer


def _reported(context: ReviewContext, patient_id: int, visitor: Viewer) -> str:
    """Return the patient's code. Raises NotFound without a result, ConflictError for a blind reader."""
    with context.db.reading() as session:
        patient = session.get(Patient, patient_id)
        if patient is None:
            raise NotFound("there is no such patient")
        results = latest_results(session, patient_id)
        if not results or not results[0].count_run_ids:
            raise NotFound("there is no result to report yet")
        require_sighted(patient_sight(session, patient_id, visitor.name))
        context.looks.note(session, slides_of(session, patient_id), visitor)
    return patient.code
