"""The patient page: automatic and reviewed result, readings, signature, amendment, report."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlmodel import Session, col, select

from cacapp.db.queries import latest_results
from cacapp.db.review.readings import last_review_id, readings, sign_offs
from cacapp.db.tables import Patient, PatientResult, Run, Slide
from cacapp.results.agreement import agreement
from cacapp.results.carry_over import plan_carry_over
from cacapp.results.tally import assay_of
from cacapp.review.authorisation import Signer, Viewer
from cacapp.review.blind import Sight, may_read_blind, patient_sight, slides_of
from cacapp.review.context import ReviewContext, context_of
from cacapp.review.forms import MAX_ID, Id, Text
from cacapp.review.not_found import NotFound
from cacapp.review.render import page
from cacapp.review.routing import Route
from cacapp.steps.review.accounts import verify_password
from cacapp.steps.review.roles import SIGN
from cacapp.steps.review.sign import amend, open_points, sign

router = APIRouter(include_in_schema=False, route_class=Route)
Number = Annotated[int, Form(ge=0, le=MAX_ID)]


@router.get("/patients/{patient_id}")
def show(request: Request, visitor: Viewer, patient_id: Id, look: bool = False) -> HTMLResponse:
    """Show the patient's result; to a person who may still read a slide blind only if they ask for it by ``look``, which is recorded."""
    return _result_page(request, visitor, patient_id, None, 200, look=look)


def _result_page(
    request: Request, visitor: Viewer, patient_id: int, problem: str | None, status: int, *, look: bool = True
) -> HTMLResponse:
    context = context_of(request)
    with context.db.reading() as session:
        patient = _patient(session, patient_id)
        closed = not look and may_read_blind(session, context.looks, patient_id, visitor)
        blind = patient_sight(session, patient_id, visitor.name) == Sight.BLIND
        if not closed:
            context.looks.note(session, slides_of(session, patient_id), visitor)
        results = latest_results(session, patient_id)
        result = results[0] if results else None
        signed = sign_offs(session, patient_id)
        slides = {s.id: s for s in session.exec(select(Slide).where(Slide.patient_id == patient_id).order_by(col(Slide.barcode)))}
        values = {} if result is None else _values(session, context, visitor.name, result)
        broken = context.signatures.problems(session, patient_id, signed)
    return page(
        request,
        "patient.html.j2",
        visitor,
        status=status,
        patient=patient,
        result=result,
        others=results[1:],
        slides=slides,
        signed=signed,
        frozen=bool(signed) and signed[-1][1] is None,
        outdated=bool(signed) and result is not None and signed[-1][0].run_id != result.run_id,
        broken=broken,
        blind=blind,
        closed=closed,
        problem=problem,
        may_sign=visitor.may(SIGN),
        **({"found": None, "points": [], "seen": 0, "agreements": {}, "reads": {}, "assay": None, "waiting": {}} | values),
    )


def _values(session: Session, context: ReviewContext, viewer: str, result: PatientResult) -> dict[str, object]:
    found = context.reviewed(session, result, viewer)
    index = context.index(session, result.count_run_ids[0]) if result.count_run_ids else None
    return {
        "found": found,
        "waiting": {s: plan for s, one in found.per_slide.items() if (plan := plan_carry_over(session, session.get_one(Run, one.run_id)))},
        "points": open_points(session, result.patient_id, result, context.reviewed(session, result, None)),
        "seen": last_review_id(session, result.count_run_ids),
        "agreements": {s.run_id: agreement(session, s.run_id) for s in found.per_slide.values() if s.view.second == "finished"},
        "reads": readings(session, result.count_run_ids),
        "assay": assay_of(index.run) if index else None,
    }


@router.post("/patients/{patient_id}/sign")
def sign_result(
    request: Request,
    visitor: Signer,
    patient_id: Id,
    password: Annotated[str, Form(max_length=1000)],
    run_id: Number,
    seen: Number,
    comment: Annotated[Text, Form()] = "",
) -> Response:
    """Sign the result, after a check of the password."""
    context = context_of(request)
    if verify_password(context.db, visitor.name, password, visitor.address) is None:
        return _result_page(request, visitor, patient_id, "The password is wrong; nothing was signed.", 403)
    with context.db.reading() as session:
        _patient(session, patient_id)
    sign(context.db, patient_id, visitor.name, run_id=run_id, seen=seen, comment=comment, address=visitor.address)
    return RedirectResponse(f"/patients/{patient_id}", 303)


@router.post("/patients/{patient_id}/amend")
def open_again(
    request: Request,
    visitor: Signer,
    patient_id: Id,
    password: Annotated[str, Form(max_length=1000)],
    sign_off_id: Number,
    reason: Annotated[Text, Form()],
) -> Response:
    """Open a signed result again, for a reason and after a check of the password."""
    context = context_of(request)
    if verify_password(context.db, visitor.name, password, visitor.address) is None:
        return _result_page(request, visitor, patient_id, "The password is wrong; nothing was opened.", 403)
    amend(context.db, patient_id, sign_off_id, visitor.name, reason, visitor.address)
    return RedirectResponse(f"/patients/{patient_id}", 303)


def _patient(session: Session, patient_id: int) -> Patient:
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise NotFound("there is no such patient")
    return patient
