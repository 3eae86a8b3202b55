"""Locks for work that only one process may do at a time."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session


def hold_lock(session: Session, lock: int) -> None:
    """Wait until no other process holds this lock, and hold it until the transaction ends. SQLite has one writer at a time anyway.

    Args:
        lock: a unique number of the kind of work.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
