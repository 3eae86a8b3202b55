"""Select the slides that a command processes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session, col, select

from cacapp.db.tables import Patient, Slide
from cacapp.exceptions import UsageError


def select_slides(session: Session, barcodes: Sequence[str] = (), patient: str | None = None) -> list[Slide]:
    """Return the named slides, those of a patient, or all. Raises UsageError for an unknown name, or an empty database."""
    query = select(Slide).join(Patient).order_by(col(Slide.id))
    if patient is not None:
        if session.exec(select(Patient.id).where(Patient.code == patient)).first() is None:
            known = session.exec(select(Patient.code).order_by(col(Patient.code)).limit(10)).all()
            raise UsageError(f"no patient {patient!r} in the database; it has {', '.join(known) or 'none yet: see cacapp ingest'}")
        query = query.where(Patient.code == patient)
    slides = list(session.exec(query))
    if barcodes:
        by_barcode = {s.barcode: s for s in slides}
        missing = [b for b in barcodes if b not in by_barcode]
        if missing:
            known = list(by_barcode)[:10]
            raise UsageError(f"no slide {missing[0]!r} in the database; it has {', '.join(known) or 'none yet: see cacapp ingest'}")
        slides = [by_barcode[b] for b in dict.fromkeys(barcodes)]
    if not slides:
        raise UsageError("the database has no slides yet; add some with: cacapp ingest PATH... --patient P --slide S --blood-volume-ul V")
    return slides
