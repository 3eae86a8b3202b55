"""Controls: slides of healthy donors."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from cacapp.db.tables import ControlSlide, Patient, Slide


@dataclass(frozen=True, slots=True)
class Control:
    """A registered slide with its donor's code."""

    slide: Slide
    donor: str
    row: ControlSlide


def add_control(session: Session, slide_id: int, note: str | None = None) -> bool:
    """Register a slide; return False if it was registered already (a new note replaces the old one)."""
    row = session.get(ControlSlide, slide_id)
    if row is None:
        session.add(ControlSlide(slide_id=slide_id, note=note))
        session.flush()
        return True
    if note is not None:
        row.note = note
        session.flush()
    return False


def remove_control(session: Session, slide_id: int) -> bool:
    """Unregister a slide; its frames, runs and cells stay. Return False if it was not a control."""
    row = session.get(ControlSlide, slide_id)
    if row is None:
        return False
    session.delete(row)
    session.flush()
    return True


def control_slides(session: Session) -> list[Control]:
    """Return the controls by barcode."""
    query = (
        select(Slide, Patient.code, ControlSlide)
        .join(Patient, col(Patient.id) == Slide.patient_id)
        .join(ControlSlide, col(ControlSlide.slide_id) == Slide.id)
        .order_by(col(Slide.barcode))
    )
    return [Control(slide, code, row) for slide, code, row in session.exec(query)]
