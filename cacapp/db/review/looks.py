"""Who has looked at a first reading without being one of its readers: events of the audit trail, which nobody can take back."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.review.readings import write_event
from cacapp.db.review.tables import AuditEvent

LOOKED = "first reading seen"
ROLE_SET = "role set"


def note_look(session: Session, account: str, barcode: str, address: str = "") -> None:
    """Record a person's first look at the first reading of a slide."""
    if look_of(session, account, barcode) is None:
        write_event(session, account, LOOKED, f"slide {barcode}", address)


def look_of(session: Session, account: str, barcode: str) -> AuditEvent | None:
    """Return the event of a person's first look at the first reading of a slide; None without one."""
    query = select(AuditEvent).where(col(AuditEvent.account) == account, col(AuditEvent.action) == LOOKED)
    query = query.where(col(AuditEvent.subject) == f"slide {barcode}").order_by(col(AuditEvent.id)).limit(1)
    found: AuditEvent | None = session.execute(query).scalar_one_or_none()
    return found


def last_role_change(session: Session, account: str) -> AuditEvent | None:
    """Return the newest event that gave an account another role; None without one."""
    query = select(AuditEvent).where(col(AuditEvent.action) == ROLE_SET, col(AuditEvent.subject) == f"account {account}")
    found: AuditEvent | None = session.execute(query.order_by(col(AuditEvent.id).desc()).limit(1)).scalar_one_or_none()
    return found
