"""Slide quality and duplicates, which are known only when all frames of a count run are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlmodel import Session, col

from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import Cell, CellCall, Duplicate, SlideQuality
from cacapp.fish.quality.slide import Mark

NO_CALL: dict[Any, Any] = {
    CellCall.evaluable: False,
    CellCall.class_: None,
    CellCall.subtype: None,
    CellCall.is_cac: False,
    CellCall.margin: None,
    CellCall.needs_review: False,
    CellCall.review_reason: None,
    CellCall.p_cac: None,
    CellCall.p_terms: None,
}


def write_quality(session: Session, run_id: int, marks: Sequence[Mark]) -> None:
    """Write a run's marks in place of earlier ones."""
    session.connection().execute(delete(SlideQuality).where(col(SlideQuality.run_id) == run_id))
    session.add_all(
        SlideQuality(run_id=run_id, channel=m.channel, measure=m.measure, value=m.value, verdict=m.verdict, reason=m.reason) for m in marks
    )
    session.flush()


def read_quality(session: Session, run_id: int) -> list[Mark]:
    """Read a run's marks by channel; none for runs that were counted before cacapp measured quality."""
    query = select(SlideQuality).where(col(SlideQuality.run_id) == run_id).order_by(col(SlideQuality.channel), col(SlideQuality.measure))
    rows = session.connection().execute(query)
    return [Mark(r.channel, r.measure, r.value, r.verdict, r.reason) for r in rows]


def exclude_all(session: Session, run_id: int, reason: str) -> int:
    """Make every cell of a run not evaluable; return how many were evaluable. Counts and signals stay."""
    here = select(col(Cell.id)).where(col(Cell.frame_id).in_(frames_of_runs([run_id])))
    statement = update(CellCall).where(col(CellCall.run_id) == run_id, col(CellCall.evaluable).is_(True), col(CellCall.cell_id).in_(here))
    return int(session.connection().execute(statement.values({**NO_CALL, CellCall.exclusion_reason: reason})).rowcount)


def write_duplicates(session: Session, run_id: int, duplicate_of: Mapping[int, int], reason: str) -> None:
    """Write the duplicates of a run in place of earlier ones, and make these cells not evaluable."""
    connection = session.connection()
    connection.execute(delete(Duplicate).where(col(Duplicate.run_id) == run_id))
    if not duplicate_of:
        return
    session.add_all(Duplicate(cell_id=cell, run_id=run_id, duplicate_of=other) for cell, other in duplicate_of.items())
    session.flush()
    statement = update(CellCall).where(
        col(CellCall.run_id) == run_id, col(CellCall.cell_id) == bindparam("cell"), col(CellCall.evaluable).is_(True)
    )
    connection.execute(statement.values({**NO_CALL, CellCall.exclusion_reason: reason}), [{"cell": cell} for cell in duplicate_of])
