"""Second readings, their settlement, and reviews of an earlier run."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cacapp.db.cell_states import places
from cacapp.review.cards import cards
from cacapp.review.desk import Desk
from cacapp.review.forms import MAX_ID, Id, Text
from cacapp.review.guard import SIGN, Reviewer, Signer, Viewer
from cacapp.review.missing import NotFound
from cacapp.review.render import page
from cacapp.steps.carry_over import carry_over, leave_behind, plan_carry_over
from cacapp.steps.reviewed import state_of
from cacapp.steps.second_reading import agreement, finish_second, start_adjudication, start_second

router = APIRouter(include_in_schema=False)


@router.post("/slides/{slide_id}/second")
def second(request: Request, visitor: Reviewer, slide_id: Id) -> Response:
    """Become the second reader."""
    start_second(_desk(request).db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}", 303)


@router.post("/slides/{slide_id}/second/finish")
def finish(request: Request, visitor: Reviewer, slide_id: Id) -> Response:
    """The second reader is done."""
    finish_second(_desk(request).db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/agreement", 303)


@router.get("/slides/{slide_id}/agreement")
def compare(request: Request, visitor: Viewer, slide_id: Id) -> HTMLResponse:
    """Both readings side by side."""
    desk = _desk(request)
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_id, visitor.name)
        found = agreement(session, cast(int, tray.index.run.id))
        if found is None:
            raise NotFound("the two readings of this slide are not both finished")
        shown = cards(session, desk, tray, [d.cell_id for d in found.disagreements])
    pairs = list(zip(found.disagreements, shown, strict=True))
    return page(request, "agreement.html.j2", visitor, tray=tray, agreement=found, pairs=pairs, may_sign=visitor.may(SIGN))


@router.post("/slides/{slide_id}/adjudicate")
def adjudicate(request: Request, visitor: Signer, slide_id: Id) -> Response:
    """Become the adjudicator."""
    start_adjudication(_desk(request).db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/agreement", 303)


@router.get("/slides/{slide_id}/carry-over")
def earlier(request: Request, visitor: Viewer, slide_id: Id) -> HTMLResponse:
    """What an earlier run's reviews become in the new one."""
    desk = _desk(request)
    with desk.db.reading() as session:
        tray = desk.tray(session, slide_id, visitor.name)
        plan = plan_carry_over(session, tray.index.run)
        asked = plan.asked if plan else ()
        where = places(session, [m.review.cell_id for m in asked])
    rows = [(m, state_of(m.review), where[m.review.cell_id]) for m in asked]
    return page(request, "carry_over.html.j2", visitor, tray=tray, plan=plan, rows=rows)


@router.post("/slides/{slide_id}/carry-over")
def carry(request: Request, visitor: Reviewer, slide_id: Id) -> Response:
    """Carry over what fits."""
    carry_over(_desk(request).db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/carry-over", 303)


@router.post("/slides/{slide_id}/carry-over/leave")
def leave(
    request: Request,
    visitor: Reviewer,
    slide_id: Id,
    review_id: Annotated[int, Form(ge=1, le=MAX_ID)],
    reason: Annotated[Text, Form()],
) -> Response:
    """Leave one behind, with a reason."""
    leave_behind(_desk(request).db, _run(request, slide_id), review_id, visitor.name, reason, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/carry-over", 303)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _run(request: Request, slide_id: int) -> int:
    desk = _desk(request)
    with desk.db.reading() as session:
        return cast(int, desk.latest(session, slide_id).run.id)
