"""Second readings, their settlement, and reviews of an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlmodel import Session

from cacapp.db.review.readings import POSITIONS, readings
from cacapp.results.agreement import agreement
from cacapp.results.reviewed import state_of
from cacapp.review.authorisation import DECIDE, SIGN, Reviewer, Signer, Viewer
from cacapp.review.cards import Card, cards
from cacapp.review.context import Desk, Tray
from cacapp.review.forms import MAX_ID, Id, Text
from cacapp.review.not_found import NotFound
from cacapp.review.render import page
from cacapp.steps.review.carry_over import Match, carry_over, leave_behind, plan_carry_over
from cacapp.steps.review.second_reading import finish_second, start_adjudication, start_second

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
        run_id = tray.index.run.id
        found = agreement(session, run_id)
        if found is None:
            raise NotFound("the two readings of this slide are not both finished")
        shown = cards(session, desk, tray, [d.cell_id for d in found.disagreements])
        read = readings(session, [run_id])[run_id]
    names = {p: ", ".join(r.reviewer for r in read if r.position == p) for p in POSITIONS}
    return page(
        request,
        "agreement.html.j2",
        visitor,
        tray=tray,
        agreement=found,
        pairs=list(zip(found.disagreements, shown, strict=True)),
        labels=sorted({label for pair in found.labels for label in pair}, key=_in_order(tray)),
        names=names,
        channels=shown[0].channels if shown else (),
        may_settle=visitor.may(SIGN) and not any(r.reviewer == visitor.name for r in read),
    )


def _in_order(tray: Tray) -> Callable[[str], tuple[int, str]]:
    """Labels in the assay's order of classes, others after them."""
    names = tray.index.assay.class_names
    return lambda label: (names.index(label) if label in names else len(names), label)


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
        before, now = _pictures(session, desk, tray, asked)
    rows = [(m, before[m.review.cell_id], None if m.new_cell is None else now[m.new_cell]) for m in asked]
    channels = next(iter(before.values())).channels if before else ()
    may = visitor.may(DECIDE)
    return page(request, "carry_over.html.j2", visitor, tray=tray, plan=plan, rows=rows, channels=channels, may=may)


def _pictures(session: Session, desk: Desk, tray: Tray, asked: Sequence[Match]) -> tuple[dict[int, Card], dict[int, Card]]:
    """By cell id the nuclei of the earlier run as they were decided, and those of the new one as they stand."""
    if not asked:
        return {}, {}
    states = {m.review.cell_id: state_of(m.review) for m in asked}
    by = {m.review.cell_id: m.review.reviewer for m in asked}
    earlier = replace(tray, index=desk.index(session, cast(int, asked[0].review.run_id)), now=states, by=by)
    found = cards(session, desk, earlier, list(states))
    news = cards(session, desk, tray, [m.new_cell for m in asked if m.new_cell is not None])
    return {c.cell_id: c for c in found}, {c.cell_id: c for c in news}


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
        return desk.latest(session, slide_id).run.id
