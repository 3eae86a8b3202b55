"""Runs whose results nobody reads any more: which they are, and how their rows are deleted.

A run stays where it is the latest that succeeded of its step on its slide, newer than that, or running; where a patient's latest result
by any assay, a signature, a review, a reading, a trained model or any other table names it or one of its cells; and where a run that
stays was made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy import Table as SqlTable
from sqlmodel import Session

from cacapp.db.models import LINEAGE
from cacapp.db.runs.ledger import SUCCEEDED
from cacapp.db.tables import Table

_T = Table.metadata.tables
RUN, CELL, FRAME, RESULT, MODEL = _T["run"], _T["cell"], _T["frame"], _T["patient_result"], _T["model"]
BY_CELL = [_T[name] for name in ("contested_signal", "signal", "signal_count", "cell_call", "duplicate", "pseudo_label")]
BY_RUN = [_T[name] for name in ("slide_quality", "run_frame")]
STRAY, VERDICT = _T["stray_signal"], _T["verdict"]
OWN = {table.name for table in (*BY_CELL, *BY_RUN, STRAY, VERDICT, RUN, CELL, RESULT)}
"""Tables whose rows are a run's own and go with it; a row of any other table that names a run or a cell keeps it."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A run that can go."""

    run_id: int
    step: str
    slide_id: int
    status: str


def superseded(connection: Connection) -> list[Superseded]:
    """The runs that can go, the latest first."""
    runs = list(
        connection.execute(select(RUN.c.id, RUN.c.slide_id, RUN.c.step, RUN.c.status, RUN.c.source_run_id).order_by(RUN.c.id.desc()))
    )
    latest: dict[tuple[int, str], int] = {}
    for run in runs:
        if run.status in SUCCEEDED:
            latest.setdefault((run.slide_id, run.step), run.id)
    kept = {run.id for run in runs if run.status == "running" or run.id >= latest.get((run.slide_id, run.step), 0)}
    kept |= set(_cited(connection))
    for run in runs:  # a source is older than what is made from it
        if run.id in kept and run.source_run_id is not None:
            kept.add(run.source_run_id)
    return [Superseded(run.id, run.step, run.slide_id, run.status) for run in runs if run.id not in kept]


def _cited(connection: Connection) -> Iterator[int]:
    per_assay = (RESULT.c.patient_id, RESULT.c.assay_name, RESULT.c.assay_version)
    newest = select(RESULT.c.patient_id, func.max(RESULT.c.run_id).label("run_id")).group_by(*per_assay).subquery()
    signed = _T["sign_off"]
    shown = select(RESULT.c.run_id, RESULT.c.count_run_ids)
    for query in (
        shown.join(newest, (newest.c.patient_id == RESULT.c.patient_id) & (newest.c.run_id == RESULT.c.run_id)),
        shown.join(signed, (signed.c.patient_id == RESULT.c.patient_id) & (signed.c.run_id == RESULT.c.run_id)),
    ):
        for run_id, count_run_ids in connection.execute(query):
            yield run_id
            yield from count_run_ids
    for table in _T.values():
        if table.name in OWN:
            continue
        for key in table.foreign_keys:
            if key.column.table is RUN:
                yield from connection.execute(select(key.parent).where(key.parent.is_not(None)).distinct()).scalars()
            elif key.column.table is CELL:
                yield from connection.execute(select(CELL.c.run_id).where(CELL.c.id.in_(select(key.parent))).distinct()).scalars()
    for metrics in connection.execute(select(MODEL.c.metrics)).scalars():
        yield from (entry["run"] for entry in metrics.get(LINEAGE, []))


def result_rows(connection: Connection, run_ids: Iterable[int]) -> list[tuple[int, int]]:
    """(run, patient) of the results that are of, or sum, one of the runs; none of them is a patient's latest."""
    going = set(run_ids)
    rows = connection.execute(select(RESULT.c.run_id, RESULT.c.patient_id, RESULT.c.count_run_ids))
    return [(row.run_id, row.patient_id) for row in rows if row.run_id in going or going & set(row.count_run_ids)]


def delete_run(connection: Connection, run: Superseded, *, count_only: bool = False) -> dict[str, int]:
    """Delete all rows of a run, without the run itself, or count them. Runs go latest first, before what they are made from.

    Returns:
        rows by table.
    """
    frames = select(FRAME.c.id).where(FRAME.c.slide_id == run.slide_id)
    cells = select(CELL.c.id).where(CELL.c.frame_id.in_(frames))
    own_cells = (CELL.c.frame_id.in_(frames), CELL.c.run_id == run.run_id)
    what: list[tuple[SqlTable, tuple[Any, ...]]] = [(t, (t.c.cell_id.in_(cells), t.c.run_id == run.run_id)) for t in BY_CELL]
    what += [(STRAY, (STRAY.c.frame_id.in_(frames), STRAY.c.run_id == run.run_id))]
    what += [(VERDICT, (VERDICT.c.cell_id.in_(select(CELL.c.id).where(*own_cells)),))]
    what += [(CELL, own_cells)]
    what += [(t, (t.c.run_id == run.run_id,)) for t in BY_RUN]
    if count_only:
        return {t.name: connection.execute(select(func.count()).select_from(t).where(*where)).scalar_one() for t, where in what}
    return {t.name: connection.execute(delete(t).where(*where)).rowcount for t, where in what}


def delete_headers(connection: Connection, run_ids: list[int]) -> None:
    """Delete the runs themselves and the results that are of them, after their rows."""
    for run_id, patient_id in result_rows(connection, run_ids):
        connection.execute(delete(RESULT).where(RESULT.c.run_id == run_id, RESULT.c.patient_id == patient_id))
    for run_id in sorted(run_ids, reverse=True):
        connection.execute(delete(RUN).where(RUN.c.id == run_id))


def size_bytes(session: Session) -> int:
    """What the database takes on disk."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    pages, size = (connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size"))
    return int(pages * size)
