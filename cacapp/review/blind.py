"""What a person may see of other people's readings: one rule for all pages, streams, exports and the API."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntEnum
from functools import partial

from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.queries import latest_run_ids
from cacapp.db.review.looks import look_of, note_look
from cacapp.db.review.tables import Reading, SignOff
from cacapp.db.tables import Patient, Run, Slide
from cacapp.review.authorisation import Visitor
from cacapp.review.later import Later
from cacapp.steps.review.decide import ConflictError
from cacapp.steps.review.roles import DECIDE, PERMISSIONS

FINISH_FIRST = "this shows the first reading; finish your own before you look at it"


class Sight(IntEnum):
    """A person's sight of a slide, or of a patient's slides: the largest of theirs.

    FREE: they have read it or signed the result, or nobody has. THIRD: two others read it. OUTSIDE: others have read it, but nobody
    twice. Who looks at a slide that is THIRD or OUTSIDE to them cannot be its blind reader any more, also in a later count; it is recorded.
    BLIND: they are its second reader and have not finished; nothing of the first reading is shown, nor of its signatures.
    """

    FREE = 0
    THIRD = 1
    OUTSIDE = 2
    BLIND = 3


class Looks:
    """Who has looked at the first reading of which slide. Safe to use from many threads."""

    def __init__(self, later: Later) -> None:
        self._later = later
        self._known: set[tuple[str, int]] = set()

    def note(self, session: Session, slide_ids: Iterable[int], visitor: Visitor) -> None:
        """Record, in the background, that a person who could become the blind reader of slides is shown their first reading."""
        if DECIDE not in PERMISSIONS[visitor.role]:
            return
        for slide_id, sight in sights(session, list(slide_ids), visitor.name).items():
            if sight in (Sight.THIRD, Sight.OUTSIDE) and not self.has(session, slide_id, visitor.name):
                self._known.add((visitor.name, slide_id))
                barcode = session.get_one(Slide, slide_id).barcode
                write = partial(note_look, account=visitor.name, barcode=barcode, address=visitor.address)
                self._later.put(("look", visitor.name, slide_id), write, True)

    def has(self, session: Session, slide_id: int, name: str) -> bool:
        """Return whether a person has looked at the first reading of a slide."""
        if (name, slide_id) not in self._known:
            if look_of(session, name, session.get_one(Slide, slide_id).barcode) is None:
                return False
            self._known.add((name, slide_id))
        return True

    def require_none(self, slide_id: int, name: str) -> None:
        """Raise ConflictError for a look that is not written yet; the others are the database's to tell."""
        if not self._later.flush() and self._later.waiting(("look", name, slide_id)):
            raise ConflictError("you have looked at the first reading of this slide, so you cannot read it blind")


def sights(session: Session, slide_ids: Collection[int], name: str) -> dict[int, Sight]:
    """Return slide id to a person's sight of it."""
    query = select(Reading, col(Run.slide_id)).join(Run, col(Run.id) == col(Reading.run_id)).where(col(Run.slide_id).in_(slide_ids))
    read: dict[int, list[Reading]] = {}
    for reading, slide_id in session.execute(query):
        read.setdefault(slide_id, []).append(reading)
    latest = latest_run_ids(session, "count", list(slide_ids))
    by = select(col(Slide.id), col(SignOff.signer)).join(SignOff, col(SignOff.patient_id) == col(Slide.patient_id))
    signers: dict[int, set[str]] = {}
    for slide_id, signer in session.execute(by.where(col(Slide.id).in_(slide_ids))):
        signers.setdefault(slide_id, set()).add(signer)
    return {s: _sight(read.get(s, []), latest.get(s), name, signers.get(s, set())) for s in slide_ids}


def _sight(read: list[Reading], latest: int | None, name: str, signers: set[str]) -> Sight:
    own = [r for r in read if r.reviewer == name]
    if any(r.run_id == latest and r.position == "second" and r.finished_at is None for r in own):
        return Sight.BLIND
    if name in signers or any(r.position != "second" or r.finished_at is not None for r in own) or not (signers or len(read) > len(own)):
        return Sight.FREE
    return Sight.THIRD if any(r.run_id == latest and r.position == "second" for r in read) else Sight.OUTSIDE


def patient_sight(session: Session, patient_id: int, name: str) -> Sight:
    """Return a person's sight of a patient's result and signatures."""
    return max(sights(session, slides_of(session, patient_id), name).values(), default=Sight.FREE)


def slides_of(session: Session, patient_id: int) -> list[int]:
    """Return the ids of a patient's slides."""
    return [s for s in session.execute(select(col(Slide.id)).where(col(Slide.patient_id) == patient_id)).scalars() if s is not None]


def may_read_blind(session: Session, looks: Looks, patient_id: int, visitor: Visitor) -> bool:
    """Return whether a person could still become the blind reader of one of a patient's slides, and has not looked at it."""
    if DECIDE not in PERMISSIONS[visitor.role]:
        return False
    found = sights(session, slides_of(session, patient_id), visitor.name)
    return any(sight == Sight.OUTSIDE and not looks.has(session, s, visitor.name) for s, sight in found.items())


def require_sighted(sight: Sight) -> None:
    """Raise ConflictError for a blind reader."""
    if sight == Sight.BLIND:
        raise ConflictError(FINISH_FIRST)


def hidden_subjects(session: Session, name: str) -> set[str]:
    """Return the subjects of audit events whose details a blind reader must not see."""
    query = (
        select(col(Slide.barcode), col(Slide.id), col(Patient.code))
        .join(Run, col(Run.slide_id) == col(Slide.id))
        .join(Reading, col(Reading.run_id) == col(Run.id))
        .join(Patient, col(Patient.id) == col(Slide.patient_id))
        .where(col(Reading.reviewer) == name, col(Reading.position) == "second", col(Reading.finished_at).is_(None))
    )
    found = {slide_id: (barcode, code) for barcode, slide_id, code in session.execute(query)}
    blind = [s for s, sight in sights(session, list(found), name).items() if sight == Sight.BLIND]
    return {f"{kind} {text}" for s in blind for kind, text in zip(("slide", "patient"), found[s], strict=True)}
