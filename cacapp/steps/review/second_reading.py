"""Step ``second reading``: start and finish a blind second reading of a slide, and appoint an adjudicator."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.cells.states import called_cells
from cacapp.db.engine.session import Database
from cacapp.db.review.looks import last_role_change, look_of
from cacapp.db.review.readings import readings, sign_offs, valid_reviews, write_event
from cacapp.db.review.tables import Reading
from cacapp.db.tables import Patient, Run, Slide, now
from cacapp.exceptions import UsageError
from cacapp.results.reviewed import state_of
from cacapp.steps.review.decide import ConflictError, require_open


def start_second(db: Database, run_id: int, reviewer: str, address: str = "") -> None:
    """Start a second reading by someone who has not read the slide; this closes the first reading.

    Raises:
        ConflictError: flagged cells of the first reading are open, there is a second reading, or this person has read the slide, in this
            count or an earlier one, or has looked at the first reading.
    """
    with db.session() as session:
        run = _locked(session, run_id)
        own = readings(session, [run_id]).get(run_id, [])
        if any(r.position == "second" for r in own):
            raise ConflictError("this slide has a second reading already")
        _require_blind(session, run, reviewer)
        _require_all_decided(session, run_id, "first")
        for reading in own:
            reading.finished_at = reading.finished_at or now()
        session.add(Reading(run_id=run_id, reviewer=reviewer, position="second"))
        write_event(session, reviewer, "second reading started", _slide(session, run), address, run=run_id)


def _require_blind(session: Session, run: Run, reviewer: str) -> None:
    """Raise ConflictError for who has read the slide, in any of its counts, or has looked at the first reading, or could have done so."""
    read = list(session.execute(select(Reading).join(Run).where(col(Run.slide_id) == run.slide_id)).scalars())
    if any(r.reviewer == reviewer and (r.run_id == run.id or r.position != "second" or r.finished_at is not None) for r in read):
        raise ConflictError("the second reader must be someone who has not read this slide")
    patient_id = session.get_one(Slide, run.slide_id).patient_id
    if any(reviewer in (s.signer, a.opened_by if a else None) for s, a in sign_offs(session, patient_id)):
        raise ConflictError("you have signed or opened the result of this slide, so you cannot read it blind")
    look = look_of(session, reviewer, session.get_one(Slide, run.slide_id).barcode)
    if look is not None:
        raise ConflictError(f"you looked at the first reading of this slide on {look.at:%Y-%m-%d %H:%M} UTC, so you cannot read it blind")
    change = last_role_change(session, reviewer)
    if change is not None and any(change.at > r.started_at for r in read):
        raise ConflictError("your account had another role when the first reading began, which may have shown it to you")


def finish_second(db: Database, run_id: int, reviewer: str, address: str = "") -> None:
    """Finish the second reading, so that both can be compared. Raises ConflictError while flagged cells are open."""
    with db.session() as session:
        run = _locked(session, run_id)
        reading = session.get(Reading, (run_id, reviewer))
        if reading is None or reading.position != "second":
            raise ConflictError("you are not this slide's second reader")
        if reading.finished_at is not None:
            return
        _require_all_decided(session, run_id, "second")
        reading.finished_at = now()
        write_event(session, reviewer, "second reading finished", _slide(session, run), address, run=run_id)


def start_adjudication(db: Database, run_id: int, reviewer: str, address: str = "") -> None:
    """Make a third person the adjudicator. Raises ConflictError before the second reading is finished, or for a reader of the slide."""
    with db.session() as session:
        run = _locked(session, run_id)
        own = readings(session, [run_id]).get(run_id, [])
        second = [r for r in own if r.position == "second"]
        if not second or any(r.finished_at is None for r in second):
            raise ConflictError("there is nothing to settle before a second reading is finished")
        mine = next((r for r in own if r.reviewer == reviewer), None)
        if mine is not None and mine.position == "adjudication":
            return
        if mine is not None:
            raise ConflictError("the adjudicator must be someone who was neither the first nor the second reader")
        session.add(Reading(run_id=run_id, reviewer=reviewer, position="adjudication"))
        write_event(session, reviewer, "adjudication started", _slide(session, run), address, run=run_id)


def _require_all_decided(session: Session, run_id: int, position: str) -> None:
    decided = {c for c, r in valid_reviews(session, run_id, position).items() if state_of(r).decided}
    left = sum(c.flagged and c.cell_id not in decided for c in called_cells(session, run_id))
    if left:
        raise ConflictError(f"{left} flagged cell{'s' * (left != 1)} of this slide {'are' if left != 1 else 'is'} not decided yet")


def _locked(session: Session, run_id: int) -> Run:
    run = session.get(Run, run_id)
    if run is None or run.step != "count":
        raise UsageError(f"there is no count run {run_id}")
    slide = session.get_one(Slide, run.slide_id)
    session.execute(select(col(Patient.id)).where(col(Patient.id) == slide.patient_id).with_for_update())
    require_open(session, run)
    return run


def _slide(session: Session, run: Run) -> str:
    return f"slide {session.get_one(Slide, run.slide_id).barcode}"
