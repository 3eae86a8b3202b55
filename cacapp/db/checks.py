"""Checks of the rows of a database: references without a target, contradictions with each other or the ledger, masks that do not decode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import JSON, ForeignKey, Integer, Select, func, select
from sqlmodel import Session, col

from cacapp.arrays import rle
from cacapp.db.review.chain import Head
from cacapp.db.review.chain_checks import broken_links, broken_rows
from cacapp.db.review.guards import missing_guards
from cacapp.db.runs.ledger import SUCCEEDED
from cacapp.db.tables import (
    Cell,
    CellCall,
    ChannelRow,
    FrameRow,
    Model,
    PatientResult,
    PseudoLabel,
    Run,
    RunFrame,
    SignalCount,
    SignalRow,
    Slide,
    Table,
)

BATCH_ROWS = 5000
FURTHER = 20
"""Problems of one kind that are named one by one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem in a database. ``kind``: the check that found it; ``what``: the rows or the file, and what is wrong, in one line."""

    kind: str
    what: str


def structure(session: Session) -> Iterator[Problem]:
    """Find damaged pages and indexes of SQLite, and JSON that does not parse; PostgreSQL prevents both itself."""
    if session.get_bind().dialect.name != "sqlite":
        return
    for (line,) in session.connection().exec_driver_sql(f"PRAGMA quick_check({FURTHER})"):
        if line != "ok":
            yield Problem("structure", line)
    for table in Table.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, JSON):
                broken = select(func.count()).select_from(table).where(column.is_not(None), func.json_valid(column, type_=Integer) == 0)
                if n := session.connection().execute(broken).scalar_one():
                    yield Problem("structure", f"{_rows(n)} of table {table.name} with a {column.name} that is no JSON")


def schema(session: Session) -> Iterator[Problem]:
    """Find tables, columns, keys and indexes of the schema that are missing or other ones; those that somebody added are no problem."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
    for found in compare_metadata(context, Table.metadata):
        for change in found if isinstance(found, list) else [found]:  # what is to be done to a column comes as a list
            if change[0].startswith("add_"):
                yield Problem("schema", f"{change[0][4:].replace('_', ' ')} {_name(change[-1])} is missing")
            elif change[0].startswith("modify_"):
                yield Problem("schema", f"column {change[2]}.{change[3]} has another {change[0][7:].replace('_', ' ')}")


def _name(part: Any) -> str:
    table = getattr(part, "table", None)
    return f"{table.name}.{part.name}" if table is not None else str(part.name)


def append_only(session: Session) -> Iterator[Problem]:
    """Find triggers that are missing, switched off or another one: the database would let anyone change decisions and signatures."""
    yield from (Problem("append-only", what) for what in missing_guards(session.connection()))


def chain(session: Session, head: Head | None = None) -> Iterator[Problem]:
    """Find links of the chain that are missing or do not fit, rows that are not as they were written, and a chain without ``head``."""
    for what in (*broken_links(session.connection(), head), *broken_rows(session.connection())):
        yield Problem("chain", what)


def foreign_keys(session: Session) -> Iterator[Problem]:
    """Find rows that refer to rows that do not exist."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        found: dict[tuple[str, str], int] = {}
        for table, _rowid, parent, _number in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            found[table, parent] = found.get((table, parent), 0) + 1
    else:
        found = {}
        for child in Table.metadata.sorted_tables:
            for key in child.foreign_keys:
                if n := connection.execute(_dangling(key)).scalar_one():
                    found[child.name, key.column.table.name] = n
    for (table, parent), n in found.items():
        yield Problem("foreign keys", f"{_rows(n)} of table {table} refer to a {parent} that is not there")


def _dangling(key: ForeignKey) -> Select[Any]:
    child, parent = key.parent, key.column.table.alias("parent")
    there = select(parent.c[key.column.name]).where(parent.c[key.column.name] == child).exists()
    return select(func.count()).select_from(child.table).where(child.is_not(None), ~there)


def orphans(session: Session) -> Iterator[Problem]:
    """Find results without their source: signals and counts without a call, calls without counts, cells outside their frame."""
    connection = session.connection()
    called = select(col(CellCall.cell_id))
    results: tuple[tuple[Any, str], ...] = ((SignalRow, "signals"), (SignalCount, "counts"))
    for table, name in results:
        there = called.where(col(CellCall.cell_id) == col(table.cell_id), col(CellCall.run_id) == col(table.run_id)).exists()
        if n := connection.execute(select(func.count()).select_from(table).where(~there)).scalar_one():
            yield Problem("orphans", f"{n} {name} of cells that their run has no call for")
    counted = (
        select(col(SignalCount.cell_id))
        .where(col(SignalCount.cell_id) == col(CellCall.cell_id), col(SignalCount.run_id) == col(CellCall.run_id))
        .exists()
    )
    if n := connection.execute(select(func.count()).select_from(CellCall).where(~counted)).scalar_one():
        yield Problem("orphans", f"{n} calls of cells that their run has no counts for")
    outside = (col(Cell.bbox_x_px) < 0) | (col(Cell.bbox_y_px) < 0)
    outside |= (col(Cell.bbox_x_px) + col(Cell.bbox_w_px) > col(FrameRow.width_px)) | (
        col(Cell.bbox_y_px) + col(Cell.bbox_h_px) > col(FrameRow.height_px)
    )
    query = select(func.count()).select_from(Cell).join(FrameRow, col(FrameRow.id) == col(Cell.frame_id)).where(outside)
    if n := connection.execute(query).scalar_one():
        yield Problem("orphans", f"{n} cells that do not lie in their frame")
    bare = select(col(FrameRow.name), col(Slide.barcode)).join(Slide, col(Slide.id) == col(FrameRow.slide_id))
    channels = select(col(ChannelRow.frame_id)).where(col(ChannelRow.frame_id) == col(FrameRow.id))
    for name, barcode in connection.execute(bare.where(~channels.exists())):
        yield Problem("orphans", f"frame {name} of slide {barcode} has no channels")


def ledger(session: Session) -> Iterator[Problem]:
    """Compare the ledger with the stored results, frame by frame, and results of patients with the calls that they sum."""
    connection = session.connection()
    runs = {row.id: row for row in connection.execute(select(col(Run.id), col(Run.step), col(Run.status), col(Run.source_run_id)))}
    entries = connection.execute(select(col(RunFrame.run_id), col(RunFrame.frame_id), col(RunFrame.status)))
    state = {(row.run_id, row.frame_id): row.status for row in entries}
    query = select(col(Cell.run_id), col(Cell.frame_id), func.count()).group_by(col(Cell.frame_id), col(Cell.run_id))
    cells = {(run, frame): n for run, frame, n in connection.execute(query)}
    made = {"segment": cells}
    results: tuple[tuple[str, Any], ...] = (("count", CellCall), ("pseudo-label", PseudoLabel))
    for step, table in results:
        join = select(col(table.run_id), col(Cell.frame_id), func.count()).join(Cell, col(Cell.id) == col(table.cell_id))
        made[step] = {(run, frame): n for run, frame, n in connection.execute(join.group_by(col(table.run_id), col(Cell.frame_id)))}
    name = {row.id: f"frame {row.name}" for row in connection.execute(select(col(FrameRow.id), col(FrameRow.name)))}
    for step, found in made.items():
        for (run, frame), n in found.items():
            where = f"run {run}, {name.get(frame, f'frame {frame}')}"
            if runs[run].step != step:
                yield Problem("ledger", f"{where}: {n} results of step {step}, but the run is one of step {runs[run].step}")
            elif state.get((run, frame)) != "done":
                yield Problem("ledger", f"{where}: {n} results, but the ledger says {state.get((run, frame), 'nothing')}")
    for (run, frame), status in state.items():
        where = f"run {run}, {name.get(frame, f'frame {frame}')}"
        step, source = runs[run].step, runs[run].source_run_id
        if status == "pending" and runs[run].status in SUCCEEDED:
            yield Problem("ledger", f"{where}: pending, but the run has succeeded")
        if status == "done" and step in ("count", "pseudo-label"):
            wanted, there = cells.get((source, frame), 0), made[step].get((run, frame), 0)
            if wanted != there:
                yield Problem("ledger", f"{where}: done with {there} results for the {wanted} cells of run {source}")
    calls: dict[int, int] = {}
    for (run, _frame), n in made["count"].items():
        calls[run] = calls.get(run, 0) + n
    for row in connection.execute(
        select(col(PatientResult.run_id), col(PatientResult.patient_id), col(PatientResult.count_run_ids), col(PatientResult.cells))
    ):
        where = f"result of patient {row.patient_id} as of run {row.run_id}"
        gone = [run for run in row.count_run_ids if run not in runs]
        if gone:
            yield Problem("ledger", f"{where}: it sums run {', '.join(map(str, gone))}, which is not there")
        elif (there := sum(calls.get(run, 0) for run in row.count_run_ids)) != row.cells:
            yield Problem("ledger", f"{where}: {row.cells} cells, but its runs have {there}")


def masks(session: Session, advance: Callable[[int], None]) -> Iterator[Problem]:
    """Find masks that do not decode to their box; ``advance`` gets the number of cells read."""
    query = select(
        col(Cell.id), col(Cell.run_id), col(Cell.frame_id), col(Cell.label), col(Cell.bbox_w_px), col(Cell.bbox_h_px), col(Cell.mask)
    )
    for rows in session.connection().execution_options(yield_per=BATCH_ROWS).execute(query).partitions():
        bad = rle.damaged([row.mask for row in rows], np.array([row.bbox_w_px * row.bbox_h_px for row in rows], np.int64))
        for row in (rows[i] for i in np.flatnonzero(bad).tolist()):
            size = f"{row.bbox_h_px} x {row.bbox_w_px} px"
            yield Problem(
                "masks", f"cell {row.id} (run {row.run_id}, frame {row.frame_id}, label {row.label}): its mask of {size} is damaged"
            )
        advance(len(rows))


def cell_count(session: Session) -> int:
    return int(session.connection().execute(select(func.count()).select_from(Cell)).scalar_one())


def image_files(session: Session) -> list[tuple[str, str]]:
    """Return (uri, SHA-256) of every file that frames were read from, in order of the uri."""
    query = select(col(ChannelRow.uri), col(ChannelRow.sha256)).distinct()
    return sorted((row.uri, row.sha256) for row in session.connection().execute(query))


def model_files(session: Session) -> list[tuple[str, str]]:
    """Return (path, SHA-256) of the weights that were trained here."""
    return sorted((row.path, row.sha256) for row in session.connection().execute(select(col(Model.path), col(Model.sha256))))


def _rows(n: int) -> str:
    return f"{n} row{'' if n == 1 else 's'}"
