"""Step ``carry over``: copy reviews of earlier count runs to the same nuclei of the latest one; a person decides on the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sqlmodel import Session

from cacapp.db.cells.states import machine_states
from cacapp.db.engine.session import Database
from cacapp.db.review.chain import append
from cacapp.db.review.readings import CARRIED, NOT_CARRIED, readings, write_event
from cacapp.db.review.tables import Reading, Review
from cacapp.db.tables import Run, Slide
from cacapp.exceptions import UsageError
from cacapp.fish.review import State
from cacapp.results.carry_over import CarryOver, Match, plan_carry_over
from cacapp.results.reviewed import state_of
from cacapp.steps.review.decide import ConflictError, require_open


def carry_over(db: Database, run_id: int, reviewer: str, address: str = "") -> CarryOver:
    """Write the reviews that fit as rows of the new run; return them and those that a person has to decide.

    Raises:
        ConflictError: the run is not the slide's latest count, its result is signed, or its second reading has begun.
    """
    with db.session() as session:
        run = session.get(Run, run_id)
        if run is None or run.step != "count":
            raise UsageError(f"there is no count run {run_id}")
        require_open(session, run)
        if any(r.position != "first" for r in readings(session, [run_id]).get(run_id, [])):
            raise ConflictError("the first reading of this run is closed")
        plan = plan_carry_over(session, run)
        if plan is None:
            return CarryOver(run_id, run_id, (), ())
        if session.get(Reading, (run_id, reviewer)) is None:
            session.add(Reading(run_id=run_id, reviewer=reviewer, position="first"))
        machine = machine_states(session, run_id, [cast(int, m.new_cell) for m in plan.ready])
        for match in plan.ready:
            _write(session, run_id, reviewer, cast(int, match.new_cell), machine, match)
        slide = session.get_one(Slide, run.slide_id).barcode
        write_event(session, reviewer, "carried over", f"slide {slide}", address, run=run_id, from_run=plan.from_run, cells=len(plan.ready))
        return plan


def leave_behind(db: Database, run_id: int, review_id: int, reviewer: str, reason: str, address: str = "") -> None:
    """Record that a review stays with the earlier run, for a reason. Raises ConflictError if it does not wait for a decision."""
    if not reason.strip():
        raise UsageError("say why the review is left behind")
    with db.session() as session:
        run = session.get(Run, run_id)
        if run is None or run.step != "count":
            raise UsageError(f"there is no count run {run_id}")
        require_open(session, run)
        plan = plan_carry_over(session, run)
        match = next((m for m in (plan.asked if plan else ()) if m.review.id == review_id), None)
        if match is None:
            raise ConflictError("this review is not waiting for a decision any more")
        state = state_of(match.review).record()
        source = {"review": review_id, "run": match.review.run_id, "reviewer": match.review.reviewer}
        append(
            session,
            Review(
                cell_id=match.review.cell_id,
                run_id=run_id,
                reviewer=reviewer,
                kind=NOT_CARRIED,
                before=state,
                after=state | {"carried": source},
                reason=reason.strip(),
            ),
        )
        write_event(session, reviewer, "review left behind", f"cell {match.review.cell_id}", address, run=run_id, review=review_id)


def _write(session: Session, run_id: int, reviewer: str, cell_id: int, machine: Mapping[int, State], match: Match) -> None:
    source = {"review": match.review.id, "run": match.review.run_id, "reviewer": match.review.reviewer, "iou": round(match.iou, 3)}
    append(
        session,
        Review(
            cell_id=cell_id,
            run_id=run_id,
            reviewer=reviewer,
            kind=CARRIED,
            before=machine[cell_id].record(),
            after=cast(State, match.state).record() | {"carried": source},
            reason=f"carried over from run {match.review.run_id}: decided by {match.review.reviewer}, IoU {match.iou:.2f}",
        ),
    )
