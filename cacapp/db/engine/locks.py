"""What only one process may do at a time."""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session


def one_at_a_time(session: Session, lock: int) -> None:
    """Waits for others that hold this lock, and holds it until the transaction ends. On SQLite whoever writes does so alone anyway.

    Args:
        lock: a number of its own for each thing that is done so.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
