"""Slide quality and duplicates: what is known of a count run only when all its frames are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, select, update
from sqlmodel import Session

from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import Duplicate, SlideQuality, Table
from cacapp.fish.quality.slide import Mark

CALL, CELL = Table.metadata.tables["cell_call"], Table.metadata.tables["cell"]
NO_CALL = {
    "evaluable": False,
    "class": None,
    "subtype": None,
    "is_cac": False,
    "margin": None,
    "needs_review": False,
    "review_reason": None,
}


def write_quality(session: Session, run_id: int, marks: Sequence[Mark]) -> None:
    """Keep a run's marks in place of earlier ones."""
    session.connection().execute(delete(Table.metadata.tables["slide_quality"]).where(SlideQuality.run_id == run_id))  # type: ignore[arg-type]
    session.add_all(
        SlideQuality(run_id=run_id, channel=m.channel, measure=m.measure, value=m.value, verdict=m.verdict, reason=m.reason) for m in marks
    )
    session.flush()


def read_quality(session: Session, run_id: int) -> list[Mark]:
    """A run's marks by channel; none where the run was counted before there were any."""
    table = Table.metadata.tables["slide_quality"]
    rows = session.connection().execute(select(table).where(table.c.run_id == run_id).order_by(table.c.channel, table.c.measure))
    return [Mark(r.channel, r.measure, r.value, r.verdict, r.reason) for r in rows]


def exclude_all(session: Session, run_id: int, reason: str) -> int:
    """Take back every call of a run; returns how many cells were evaluable. Counts and signals stay."""
    here = select(CELL.c.id).where(CELL.c.frame_id.in_(frames_of_runs([run_id])))
    statement = update(CALL).where(CALL.c.run_id == run_id, CALL.c.evaluable.is_(True), CALL.c.cell_id.in_(here))
    return int(session.connection().execute(statement.values(**NO_CALL, exclusion_reason=reason)).rowcount)


def write_duplicates(session: Session, run_id: int, duplicate_of: Mapping[int, int], reason: str) -> None:
    """Keep which cell is a duplicate of which, in place of earlier ones of the run, and take back the duplicates' calls."""
    connection = session.connection()
    connection.execute(delete(Table.metadata.tables["duplicate"]).where(Duplicate.run_id == run_id))  # type: ignore[arg-type]
    if not duplicate_of:
        return
    session.add_all(Duplicate(cell_id=cell, run_id=run_id, duplicate_of=other) for cell, other in duplicate_of.items())
    session.flush()
    statement = update(CALL).where(CALL.c.run_id == run_id, CALL.c.cell_id == bindparam("cell"), CALL.c.evaluable.is_(True))
    connection.execute(statement.values(**NO_CALL, exclusion_reason=reason), [{"cell": cell} for cell in duplicate_of])
