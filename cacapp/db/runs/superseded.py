"""Superseded runs, which no query reads any more, and the deletion of their rows.

A run is not superseded if it is the latest successful one of its step on its slide, newer than that, or running; if a patient's latest
result by any assay, a signature, a review, a reading, a trained model or any other table refers to it or one of its cells; or if it is
the source of a run that is not superseded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, text
from sqlmodel import Session, col

from cacapp.db.models import LINEAGE
from cacapp.db.review.tables import SignOff
from cacapp.db.runs.ledger import SUCCEEDED
from cacapp.db.tables import (
    Cell,
    CellCall,
    ContestedSignal,
    Duplicate,
    FrameRow,
    Model,
    PatientResult,
    PseudoLabel,
    Run,
    RunFrame,
    SignalCount,
    SignalRow,
    SlideQuality,
    StraySignal,
    Table,
    Verdict,
    table_of,
)

BY_CELL: tuple[Any, ...] = (ContestedSignal, SignalRow, SignalCount, CellCall, Duplicate, PseudoLabel)
BY_RUN: tuple[Any, ...] = (SlideQuality, RunFrame)
OWN = {table_of(model) for model in (*BY_CELL, *BY_RUN, StraySignal, Verdict, Run, Cell, PatientResult)}
"""Tables with rows that are deleted with their run; a row of any other table that refers to a run or a cell preserves it."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Run that can be deleted."""

    run_id: int
    step: str
    slide_id: int
    status: str


def superseded(connection: Connection) -> list[Superseded]:
    """Return the runs that can be deleted, the latest first."""
    runs = list(
        connection.execute(
            select(col(Run.id), col(Run.slide_id), col(Run.step), col(Run.status), col(Run.source_run_id)).order_by(col(Run.id).desc())
        )
    )
    latest: dict[tuple[int, str], int] = {}
    for run in runs:
        if run.status in SUCCEEDED:
            latest.setdefault((run.slide_id, run.step), run.id)
    kept = {run.id for run in runs if run.status == "running" or run.id >= latest.get((run.slide_id, run.step), 0)}
    kept |= set(_cited(connection))
    for run in runs:  # a source is older than the runs made from it
        if run.id in kept and run.source_run_id is not None:
            kept.add(run.source_run_id)
    return [Superseded(run.id, run.step, run.slide_id, run.status) for run in runs if run.id not in kept]


def _cited(connection: Connection) -> Iterator[int]:
    per_assay = (col(PatientResult.patient_id), col(PatientResult.assay_name), col(PatientResult.assay_version))
    newest = select(col(PatientResult.patient_id), func.max(col(PatientResult.run_id)).label("run_id")).group_by(*per_assay).subquery()
    patient_id, run_id = col(PatientResult.patient_id), col(PatientResult.run_id)
    shown = select(run_id, col(PatientResult.count_run_ids))
    for query in (
        shown.join(newest, (newest.c.patient_id == patient_id) & (newest.c.run_id == run_id)),
        shown.join(SignOff, (col(SignOff.patient_id) == patient_id) & (col(SignOff.run_id) == run_id)),
    ):
        for own_run_id, count_run_ids in connection.execute(query):
            yield own_run_id
            yield from count_run_ids
    for table in Table.metadata.tables.values():
        if table in OWN:
            continue
        for key in table.foreign_keys:
            if key.column.table is table_of(Run):
                yield from connection.execute(select(key.parent).where(key.parent.is_not(None)).distinct()).scalars()
            elif key.column.table is table_of(Cell):
                yield from connection.execute(select(col(Cell.run_id)).where(col(Cell.id).in_(select(key.parent))).distinct()).scalars()
    for metrics in connection.execute(select(col(Model.metrics))).scalars():
        yield from (entry["run"] for entry in metrics.get(LINEAGE, []))


def result_rows(connection: Connection, run_ids: Iterable[int]) -> list[tuple[int, int]]:
    """Return (run, patient) of the results of these runs, or that include one of them; none is a patient's latest."""
    going = set(run_ids)
    rows = connection.execute(select(col(PatientResult.run_id), col(PatientResult.patient_id), col(PatientResult.count_run_ids)))
    return [(row.run_id, row.patient_id) for row in rows if row.run_id in going or going & set(row.count_run_ids)]


def delete_run(connection: Connection, run: Superseded, *, count_only: bool = False) -> dict[str, int]:
    """Delete all rows of a run but not the run itself, or count them. Delete the latest run first, before its source.

    Returns:
        Number of rows by table.
    """
    frames = select(col(FrameRow.id)).where(col(FrameRow.slide_id) == run.slide_id)
    cells = select(col(Cell.id)).where(col(Cell.frame_id).in_(frames))
    own_cells = (col(Cell.frame_id).in_(frames), col(Cell.run_id) == run.run_id)
    what: list[tuple[Any, tuple[Any, ...]]] = [(t, (col(t.cell_id).in_(cells), col(t.run_id) == run.run_id)) for t in BY_CELL]
    what += [(StraySignal, (col(StraySignal.frame_id).in_(frames), col(StraySignal.run_id) == run.run_id))]
    what += [(Verdict, (col(Verdict.cell_id).in_(select(col(Cell.id)).where(*own_cells)),))]
    what += [(Cell, own_cells)]
    what += [(t, (col(t.run_id) == run.run_id,)) for t in BY_RUN]
    if count_only:
        return {table_of(t).name: connection.execute(select(func.count()).select_from(t).where(*where)).scalar_one() for t, where in what}
    return {table_of(t).name: connection.execute(delete(t).where(*where)).rowcount for t, where in what}


def delete_headers(connection: Connection, run_ids: list[int]) -> None:
    """Delete the runs and their results, after their rows."""
    for run_id, patient_id in result_rows(connection, run_ids):
        connection.execute(delete(PatientResult).where(col(PatientResult.run_id) == run_id, col(PatientResult.patient_id) == patient_id))
    for run_id in sorted(run_ids, reverse=True):
        connection.execute(delete(Run).where(col(Run.id) == run_id))


def size_bytes(session: Session) -> int:
    """Return the size of the database on disk, bytes."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    pages, size = (connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size"))
    return int(pages * size)
