"""The second reading, its comparison with the first, adjudication, and the carry-over of earlier reviews."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlmodel import Session

from cacapp.db.review.readings import POSITIONS, readings
from cacapp.results.agreement import agreement
from cacapp.results.carry_over import Match, plan_carry_over
from cacapp.results.reviewed import state_of
from cacapp.review.authorisation import Reviewer, Signer, Viewer
from cacapp.review.blind import require_sighted, sights
from cacapp.review.cards import Card, cards
from cacapp.review.context import ReviewContext, SlideView, context_of
from cacapp.review.forms import MAX_ID, Id, Text
from cacapp.review.not_found import NotFound
from cacapp.review.render import page
from cacapp.review.routing import Route
from cacapp.steps.review.carry_over import carry_over, leave_behind
from cacapp.steps.review.roles import DECIDE, SIGN
from cacapp.steps.review.second_reading import finish_second, start_adjudication, start_second

router = APIRouter(include_in_schema=False, route_class=Route)


@router.post("/slides/{slide_id}/second")
def second(request: Request, visitor: Reviewer, slide_id: Id) -> Response:
    """Make the visitor the second reader."""
    context = context_of(request)
    context.looks.require_none(slide_id, visitor.name)
    start_second(context.db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}", 303)


@router.post("/slides/{slide_id}/second/finish")
def finish(request: Request, visitor: Reviewer, slide_id: Id) -> Response:
    """Finish the second reading."""
    finish_second(context_of(request).db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/agreement", 303)


@router.get("/slides/{slide_id}/agreement")
def compare(request: Request, visitor: Viewer, slide_id: Id) -> HTMLResponse:
    """Compare both readings."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_id, visitor)
        run_id = view.index.run.id
        found = agreement(session, run_id)
        if found is None:
            raise NotFound("the two readings of this slide are not both finished")
        shown = cards(session, context, view, [d.cell_id for d in found.disagreements])
        read = readings(session, [run_id])[run_id]
    names = {p: ", ".join(r.reviewer for r in read if r.position == p) for p in POSITIONS}
    return page(
        request,
        "agreement.html.j2",
        visitor,
        view=view,
        agreement=found,
        pairs=list(zip(found.disagreements, shown, strict=True)),
        labels=sorted({label for pair in found.labels for label in pair}, key=_class_order(view)),
        names=names,
        channels=shown[0].picture.channels if shown else (),
        may_settle=visitor.may(SIGN) and not any(r.reviewer == visitor.name for r in read),
    )


def _class_order(view: SlideView) -> Callable[[str], tuple[int, str]]:
    """Return a sort key for labels: the assay's classes in their order, then all others."""
    names = view.index.assay.class_names
    return lambda label: (names.index(label) if label in names else len(names), label)


@router.post("/slides/{slide_id}/adjudicate")
def adjudicate(request: Request, visitor: Signer, slide_id: Id) -> Response:
    """Make the visitor the adjudicator."""
    start_adjudication(context_of(request).db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/agreement", 303)


@router.get("/slides/{slide_id}/carry-over")
def show_carry_over(request: Request, visitor: Viewer, slide_id: Id) -> HTMLResponse:
    """Show which reviews of an earlier run fit the latest count, and which need a decision."""
    context = context_of(request)
    with context.db.reading() as session:
        view = context.slide_view(session, slide_id, visitor)
        require_sighted(sights(session, [slide_id], visitor.name)[slide_id])
        plan = plan_carry_over(session, view.index.run)
        asked = plan.asked if plan else ()
        before, after = _cards_of_both_runs(session, context, view, asked)
    rows = [(m, before[m.review.cell_id], None if m.new_cell is None else after[m.new_cell]) for m in asked]
    channels = next(iter(before.values())).picture.channels if before else ()
    may = visitor.may(DECIDE)
    return page(request, "carry_over.html.j2", visitor, view=view, plan=plan, rows=rows, channels=channels, may=may)


def _cards_of_both_runs(
    session: Session, context: ReviewContext, view: SlideView, asked: Sequence[Match]
) -> tuple[dict[int, Card], dict[int, Card]]:
    """Return by cell id the cards of the earlier runs with their decisions, and those of the latest count."""
    if not asked:
        return {}, {}
    states = {m.review.cell_id: state_of(m.review) for m in asked}
    reviewers = {m.review.cell_id: m.review.reviewer for m in asked}
    before: list[Card] = []
    for run_id in dict.fromkeys(cast(int, m.review.run_id) for m in asked):
        earlier = replace(view, index=context.index(session, run_id), states=states, reviewers=reviewers)
        before += cards(session, context, earlier, [m.review.cell_id for m in asked if m.review.run_id == run_id])
    after = cards(session, context, view, [m.new_cell for m in asked if m.new_cell is not None])
    return {c.cell.place.cell_id: c for c in before}, {c.cell.place.cell_id: c for c in after}


@router.post("/slides/{slide_id}/carry-over")
def carry(request: Request, visitor: Reviewer, slide_id: Id) -> Response:
    """Carry over the reviews that fit."""
    carry_over(context_of(request).db, _run(request, slide_id), visitor.name, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/carry-over", 303)


@router.post("/slides/{slide_id}/carry-over/leave")
def leave(
    request: Request,
    visitor: Reviewer,
    slide_id: Id,
    review_id: Annotated[int, Form(ge=1, le=MAX_ID)],
    reason: Annotated[Text, Form()],
) -> Response:
    """Leave one review with the earlier run, for a reason."""
    leave_behind(context_of(request).db, _run(request, slide_id), review_id, visitor.name, reason, visitor.address)
    return RedirectResponse(f"/slides/{slide_id}/carry-over", 303)


def _run(request: Request, slide_id: int) -> int:
    context = context_of(request)
    with context.db.reading() as session:
        return context.latest_index(session, slide_id).run.id
