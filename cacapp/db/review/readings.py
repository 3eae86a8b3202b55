"""Reviews, readings and signatures, which are appended and never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import and_, func, select
from sqlmodel import Session, col

from cacapp.db.review.chain import append
from cacapp.db.review.tables import Amendment, AuditEvent, Reading, Review, SignOff
from cacapp.db.tables import Patient

POSITIONS = ("first", "second", "adjudication")
COMMENT = "comment"
UNDO = "undo"
CARRIED = "carried"
NOT_CARRIED = "not_carried"
NOT_DECIDING = (COMMENT, NOT_CARRIED)


def review_by_key(session: Session, key: str) -> Review | None:
    """Return the review that an action with this key has made; None without one."""
    found: Review | None = session.execute(select(Review).where(col(Review.key) == key)).scalar_one_or_none()
    return found


def reviews_of_cell(session: Session, cell_id: int, run_id: int, positions: Sequence[str] = POSITIONS) -> list[Review]:
    """Return the reviews of a cell of a count run, oldest first."""
    wanted = (col(Review.cell_id) == cell_id, col(Review.run_id) == run_id, col(Review.position).in_(positions))
    return list(session.execute(select(Review).where(*wanted).order_by(col(Review.id))).scalars())


def last_review_id(session: Session, run_ids: Sequence[int]) -> int:
    """Return the number of the newest review of some count runs, 0 without any."""
    return int(session.execute(select(func.coalesce(func.max(col(Review.id)), 0)).where(col(Review.run_id).in_(run_ids))).scalar_one())


def valid_reviews(session: Session, run_id: int, position: str, cell_ids: Sequence[int] | None = None) -> dict[int, Review]:
    """Return cell id to the review that is valid in a position: the last one with a decision."""
    wanted = [col(Review.run_id) == run_id, col(Review.position) == position, col(Review.kind).not_in(NOT_DECIDING)]
    if cell_ids is not None:
        wanted.append(col(Review.cell_id).in_(cell_ids))
    last = select(func.max(col(Review.id))).where(*wanted).group_by(col(Review.cell_id))
    return {r.cell_id: r for r in session.execute(select(Review).where(col(Review.id).in_(last))).scalars()}


def seen_ids(session: Session, run_id: int, position: str, cell_ids: Sequence[int]) -> dict[int, int]:
    """Return cell id to the number of its newest review in a position, comments too; cells without one are left out."""
    query = (
        select(col(Review.cell_id), func.max(col(Review.id)).label("newest"))
        .where(col(Review.run_id) == run_id, col(Review.position) == position, col(Review.cell_id).in_(cell_ids))
        .group_by(col(Review.cell_id))
    )
    return {row.cell_id: row.newest for row in session.connection().execute(query)}


def reviews(
    session: Session, run_ids: Sequence[int], *, after_id: int = 0, limit: int | None = None, positions: Sequence[str] = POSITIONS
) -> list[Review]:
    """Return reviews of some count runs by number, those after ``after_id``."""
    wanted = (col(Review.run_id).in_(run_ids), col(Review.id) > after_id, col(Review.position).in_(positions))
    return list(session.execute(select(Review).where(*wanted).order_by(col(Review.id)).limit(limit)).scalars())


def readings(session: Session, run_ids: Sequence[int]) -> dict[int, list[Reading]]:
    """Return count run to its readings: first, second, adjudication, whatever their times of start."""
    found: dict[int, list[Reading]] = {}
    rows = session.execute(select(Reading).where(col(Reading.run_id).in_(run_ids))).scalars()
    for reading in sorted(rows, key=lambda r: (POSITIONS.index(r.position), r.started_at)):
        found.setdefault(reading.run_id, []).append(reading)
    return found


def latest_sign_offs(session: Session, patient_ids: Sequence[int]) -> dict[int, tuple[SignOff, Amendment | None]]:
    """Return patient id to the latest signature, and the amendment that reopened it, if there is one."""
    last = select(func.max(col(SignOff.id))).where(col(SignOff.patient_id).in_(patient_ids)).group_by(col(SignOff.patient_id))
    query = (
        select(SignOff, Amendment)
        .outerjoin(Amendment, and_(col(Amendment.sign_off_id) == col(SignOff.id)))
        .where(col(SignOff.id).in_(last))
    )
    return {sign_off.patient_id: (sign_off, amendment) for sign_off, amendment in session.execute(query)}


def sign_offs(session: Session, patient_id: int) -> list[tuple[SignOff, Amendment | None]]:
    """Return a patient's signatures, oldest first, each with the amendment that reopened it."""
    query = (
        select(SignOff, Amendment)
        .outerjoin(Amendment, and_(col(Amendment.sign_off_id) == col(SignOff.id)))
        .where(col(SignOff.patient_id) == patient_id)
        .order_by(col(SignOff.id))
    )
    return [(sign_off, amendment) for sign_off, amendment in session.execute(query)]


def all_sign_offs(session: Session) -> list[tuple[str, SignOff, Amendment | None]]:
    """Return all signatures by number: the patient's code, the signature, and the amendment that reopened it."""
    query = (
        select(col(Patient.code), SignOff, Amendment)
        .join(Patient, col(Patient.id) == col(SignOff.patient_id))
        .outerjoin(Amendment, and_(col(Amendment.sign_off_id) == col(SignOff.id)))
        .order_by(col(SignOff.id))
    )
    return [(code, signed, amendment) for code, signed, amendment in session.execute(query)]


def digest(signed: dict[str, Any], previous: str | None) -> str:
    """Return SHA-256 of a signed record as canonical JSON, chained to the digest of the previous one."""
    canonical = json.dumps([signed, previous], sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest_of_reviews(rows: Iterable[Review]) -> str:
    """Return SHA-256 over review rows in their order."""
    lines = [
        [r.id, r.cell_id, r.run_id, r.position, r.kind, r.reviewer, r.created_at.isoformat(), r.before, r.after, r.reason] for r in rows
    ]
    return hashlib.sha256(json.dumps(lines, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_event(session: Session, account: str, action: str, subject: str = "", address: str = "", **details: Any) -> None:
    """Write a line into the audit trail."""
    append(session, AuditEvent(account=account, action=action, subject=subject, address=address, details=details))


def events(session: Session, *, before_id: int | None = None, limit: int = 100) -> list[AuditEvent]:
    """Return the audit trail, latest first."""
    query = select(AuditEvent).order_by(col(AuditEvent.id).desc()).limit(limit)
    if before_id is not None:
        query = query.where(col(AuditEvent.id) < before_id)
    return list(session.execute(query).scalars())
