"""All that a segment or count run wrote, under names that hold outside the database: frames by name, nuclei by label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, and_, select
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import FrameRow, RunFrame, Table

_T = Table.metadata.tables
CELL, VERDICT, FRAME, CHANNEL = _T["cell"], _T["verdict"], _T["frame"], _T["channel"]
SIGNAL, STRAY, COUNT, CALL = _T["signal"], _T["stray_signal"], _T["signal_count"], _T["cell_call"]
DUPLICATE, QUALITY, CONTESTED = _T["duplicate"], _T["slide_quality"], _T["contested_signal"]

_NUCLEUS = (FRAME.c.name.label("frame"), CELL.c.label)
_DOT = ("y_px", "x_px", "snr", "amplitude", "sigma_px")


def _of_cells(table: Any, run_id: int, *columns: Any) -> Select[Any]:
    """Rows of a table that is keyed by cell, with frame and label in place of the cell; reached by the frames of the run's slide."""
    query = (
        select(*_NUCLEUS, *columns).select_from(table).join(CELL, CELL.c.id == table.c.cell_id).join(FRAME, FRAME.c.id == CELL.c.frame_id)
    )
    return query.where(CELL.c.frame_id.in_(frames_of_runs([run_id])))


def _named(query: Select[Any], table: Any, frame_id: Any) -> Select[Any]:
    return query.join(CHANNEL, and_(CHANNEL.c.frame_id == frame_id, CHANNEL.c.index == table.c.channel))


def _cells(run_id: int) -> Select[Any]:
    own = [c for c in CELL.c if c.name not in ("id", "run_id", "frame_id", "label")]
    query = select(*_NUCLEUS, *own).join(FRAME, FRAME.c.id == CELL.c.frame_id)
    return query.where(CELL.c.run_id == run_id, CELL.c.frame_id.in_(frames_of_runs([run_id]))).order_by(FRAME.c.name, CELL.c.label)


def _verdicts(run_id: int) -> Select[Any]:
    query = _of_cells(VERDICT, run_id, VERDICT.c.filter, VERDICT.c.reason).where(CELL.c.run_id == run_id)
    return query.order_by(FRAME.c.name, CELL.c.label, VERDICT.c.filter)


def _signals(run_id: int) -> Select[Any]:
    own = (CHANNEL.c.name.label("channel"), SIGNAL.c.number, *(SIGNAL.c[n] for n in _DOT), SIGNAL.c.state, SIGNAL.c.reason)
    query = _named(_of_cells(SIGNAL, run_id, *own), SIGNAL, CELL.c.frame_id).where(SIGNAL.c.run_id == run_id)
    return query.order_by(FRAME.c.name, CELL.c.label, SIGNAL.c.channel, SIGNAL.c.number)


def _contested(run_id: int) -> Select[Any]:
    other = CELL.alias()  # in the same frame
    own = (CHANNEL.c.name.label("channel"), CONTESTED.c.number, other.c.label.label("other_label"))
    query = _named(_of_cells(CONTESTED, run_id, *own), CONTESTED, CELL.c.frame_id)
    query = query.outerjoin(other, other.c.id == CONTESTED.c.other_cell_id).where(CONTESTED.c.run_id == run_id)
    return query.order_by(FRAME.c.name, CELL.c.label, CONTESTED.c.channel, CONTESTED.c.number)


def _strays(run_id: int) -> Select[Any]:
    own = (FRAME.c.name.label("frame"), CHANNEL.c.name.label("channel"), STRAY.c.number, *(STRAY.c[n] for n in _DOT))
    query = _named(select(*own).select_from(STRAY).join(FRAME, FRAME.c.id == STRAY.c.frame_id), STRAY, STRAY.c.frame_id)
    query = query.where(STRAY.c.run_id == run_id, STRAY.c.frame_id.in_(frames_of_runs([run_id])))
    return query.order_by(FRAME.c.name, STRAY.c.channel, STRAY.c.number)


def _counts(run_id: int) -> Select[Any]:
    query = _named(_of_cells(COUNT, run_id, CHANNEL.c.name.label("channel"), COUNT.c.n), COUNT, CELL.c.frame_id)
    return query.where(COUNT.c.run_id == run_id).order_by(FRAME.c.name, CELL.c.label, COUNT.c.channel)


def _calls(run_id: int) -> Select[Any]:
    own = [c for c in CALL.c if c.name not in ("cell_id", "run_id")]
    return _of_cells(CALL, run_id, *own).where(CALL.c.run_id == run_id).order_by(FRAME.c.name, CELL.c.label)


def _duplicates(run_id: int) -> Select[Any]:
    stands, there = CELL.alias(), FRAME.alias()
    query = _of_cells(DUPLICATE, run_id, there.c.name.label("of_frame"), stands.c.label.label("of_label"))
    query = query.join(stands, stands.c.id == DUPLICATE.c.duplicate_of).join(there, there.c.id == stands.c.frame_id)
    return query.where(DUPLICATE.c.run_id == run_id).order_by(FRAME.c.name, CELL.c.label)


def _quality(run_id: int) -> Select[Any]:
    own = [c for c in QUALITY.c if c.name != "run_id"]
    return select(*own).where(QUALITY.c.run_id == run_id).order_by(QUALITY.c.channel, QUALITY.c.measure)


CONTENT: Mapping[str, Mapping[str, Callable[[int], Select[Any]]]] = {
    "segment": {"cells": _cells, "verdicts": _verdicts},
    "count": {
        "signals": _signals,
        "contested": _contested,
        "stray_signals": _strays,
        "counts": _counts,
        "calls": _calls,
        "duplicates": _duplicates,
        "quality": _quality,
    },
}
"""By step, what a run writes; each a query for a run's number whose rows come in one fixed order."""


def rows_of(session: Session, step: str, content: str, run_id: int) -> list[dict[str, Any]]:
    """The rows of one kind of content of a run, see CONTENT."""
    return [dict(row) for row in session.connection().execute(CONTENT[step][content](run_id)).mappings()]


def ledger_of(session: Session, run_id: int) -> list[tuple[FrameRow, RunFrame]]:
    """The frames of a run with their state, by name."""
    query = select_rows(FrameRow, RunFrame).where(FrameRow.id == RunFrame.frame_id, RunFrame.run_id == run_id)
    return [(frame, state) for frame, state in session.exec(query.order_by(col(FrameRow.name)))]
