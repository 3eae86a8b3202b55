"""What can be wrong with the rows of a record: they refer to nothing, contradict each other or the ledger, or do not decode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import JSON, ForeignKey, Integer, Select, func, select
from sqlmodel import Session

from cacapp.arrays import rle
from cacapp.db.runs.ledger import SUCCEEDED
from cacapp.db.tables import Table

_T = Table.metadata.tables
RUN, RUN_FRAME, FRAME, SLIDE, CELL = _T["run"], _T["run_frame"], _T["frame"], _T["slide"], _T["cell"]
CALL, COUNT, SIGNAL, PSEUDO_LABEL, RESULT = _T["cell_call"], _T["signal_count"], _T["signal"], _T["pseudo_label"], _T["patient_result"]
BATCH_ROWS = 5000
FURTHER = 20
"""Problems of one kind that are named one by one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """``kind``: the check that found it; ``what``: the rows or the file, and what is wrong, in one line."""

    kind: str
    what: str


def structure(session: Session) -> Iterator[Problem]:
    """SQLite's own look at its pages and indexes, and JSON that does not parse; PostgreSQL sees to both itself."""
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


def foreign_keys(session: Session) -> Iterator[Problem]:
    """Rows that refer to rows that are not there."""
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
    """Results without what they are results of."""
    connection = session.connection()
    called = select(CALL.c.cell_id)
    for table, name in ((SIGNAL, "signals"), (COUNT, "counts")):
        there = called.where(CALL.c.cell_id == table.c.cell_id, CALL.c.run_id == table.c.run_id).exists()
        if n := connection.execute(select(func.count()).select_from(table).where(~there)).scalar_one():
            yield Problem("orphans", f"{n} {name} of cells that their run has no call for")
    counted = select(COUNT.c.cell_id).where(COUNT.c.cell_id == CALL.c.cell_id, COUNT.c.run_id == CALL.c.run_id).exists()
    if n := connection.execute(select(func.count()).select_from(CALL).where(~counted)).scalar_one():
        yield Problem("orphans", f"{n} calls of cells that their run has no counts for")
    outside = (CELL.c.bbox_x_px < 0) | (CELL.c.bbox_y_px < 0)
    outside |= (CELL.c.bbox_x_px + CELL.c.bbox_w_px > FRAME.c.width_px) | (CELL.c.bbox_y_px + CELL.c.bbox_h_px > FRAME.c.height_px)
    query = select(func.count()).select_from(CELL).join(FRAME, FRAME.c.id == CELL.c.frame_id).where(outside)
    if n := connection.execute(query).scalar_one():
        yield Problem("orphans", f"{n} cells that do not lie in their frame")
    bare = select(FRAME.c.name, SLIDE.c.barcode).join(SLIDE, SLIDE.c.id == FRAME.c.slide_id)
    channel = _T["channel"]
    for name, barcode in connection.execute(bare.where(~select(channel.c.frame_id).where(channel.c.frame_id == FRAME.c.id).exists())):
        yield Problem("orphans", f"frame {name} of slide {barcode} has no channels")


def ledger(session: Session) -> Iterator[Problem]:
    """What the ledger calls done against the results there are, frame by frame, and results of patients against the calls they sum."""
    connection = session.connection()
    runs = {row.id: row for row in connection.execute(select(RUN.c.id, RUN.c.step, RUN.c.status, RUN.c.source_run_id))}
    entries = connection.execute(select(RUN_FRAME.c.run_id, RUN_FRAME.c.frame_id, RUN_FRAME.c.status))
    state = {(row.run_id, row.frame_id): row.status for row in entries}
    query = select(CELL.c.run_id, CELL.c.frame_id, func.count()).group_by(CELL.c.frame_id, CELL.c.run_id)
    cells = {(run, frame): n for run, frame, n in connection.execute(query)}
    made = {"segment": cells}
    for step, table in (("count", CALL), ("pseudo-label", PSEUDO_LABEL)):
        join = select(table.c.run_id, CELL.c.frame_id, func.count()).join(CELL, CELL.c.id == table.c.cell_id)
        made[step] = {(run, frame): n for run, frame, n in connection.execute(join.group_by(table.c.run_id, CELL.c.frame_id))}
    name = {row.id: f"frame {row.name}" for row in connection.execute(select(FRAME.c.id, FRAME.c.name))}
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
    for row in connection.execute(select(RESULT.c.run_id, RESULT.c.patient_id, RESULT.c.count_run_ids, RESULT.c.cells)):
        where = f"result of patient {row.patient_id} as of run {row.run_id}"
        gone = [run for run in row.count_run_ids if run not in runs]
        if gone:
            yield Problem("ledger", f"{where}: it sums run {', '.join(map(str, gone))}, which is not there")
        elif (there := sum(calls.get(run, 0) for run in row.count_run_ids)) != row.cells:
            yield Problem("ledger", f"{where}: {row.cells} cells, but its runs have {there}")


def masks(session: Session, advance: Callable[[int], None]) -> Iterator[Problem]:
    """Masks that do not decode to their box; ``advance`` is told how many cells were looked at."""
    query = select(CELL.c.id, CELL.c.run_id, CELL.c.frame_id, CELL.c.label, CELL.c.bbox_w_px, CELL.c.bbox_h_px, CELL.c.mask)
    for rows in session.connection().execution_options(yield_per=BATCH_ROWS).execute(query).partitions():
        bad = rle.damaged([row.mask for row in rows], np.array([row.bbox_w_px * row.bbox_h_px for row in rows], np.int64))
        for row in (rows[i] for i in np.flatnonzero(bad).tolist()):
            size = f"{row.bbox_h_px} x {row.bbox_w_px} px"
            yield Problem(
                "masks", f"cell {row.id} (run {row.run_id}, frame {row.frame_id}, label {row.label}): its mask of {size} is damaged"
            )
        advance(len(rows))


def cell_count(session: Session) -> int:
    return int(session.connection().execute(select(func.count()).select_from(CELL)).scalar_one())


def image_files(session: Session) -> list[tuple[str, str]]:
    """(uri, SHA-256) of every file that frames were read from, in order of the uri."""
    channel = _T["channel"]
    query = select(channel.c.uri, channel.c.sha256).distinct()
    return sorted((row.uri, row.sha256) for row in session.connection().execute(query))


def model_files(session: Session) -> list[tuple[str, str]]:
    """(path, SHA-256) of the weights that were trained here."""
    model = _T["model"]
    return sorted((row.path, row.sha256) for row in session.connection().execute(select(model.c.path, model.c.sha256)))


def _rows(n: int) -> str:
    return f"{n} row{'' if n == 1 else 's'}"
