"""Rows of a segment or count run with names that are valid outside the database: frames by name, nuclei by label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import (
    Cell,
    CellCall,
    ChannelRow,
    ContestedSignal,
    Duplicate,
    FrameRow,
    RunFrame,
    SignalCount,
    SignalRow,
    SlideQuality,
    StraySignal,
    Verdict,
    table_of,
)

Rows = Select[*tuple[Any, ...]]
_NUCLEUS: tuple[Any, ...] = (col(FrameRow.name).label("frame"), col(Cell.label))


def _of_cells(table: Any, run_id: int, *columns: Any) -> Rows:
    """Select rows of a table with a key of cells, with frame and label in place of the cell; found by the frames of the run's slide."""
    query = (
        select(*_NUCLEUS, *columns)
        .select_from(table)
        .join(Cell, col(Cell.id) == col(table.cell_id))
        .join(FrameRow, col(FrameRow.id) == col(Cell.frame_id))
    )
    return query.where(col(Cell.frame_id).in_(frames_of_runs([run_id])))


def _dot(table: Any) -> tuple[Any, ...]:
    return tuple(col(column) for column in (table.y_px, table.x_px, table.snr, table.amplitude, table.sigma_px))


def _named(query: Rows, table: Any, frame_id: Any) -> Rows:
    return query.join(ChannelRow, and_(col(ChannelRow.frame_id) == frame_id, col(ChannelRow.index) == col(table.channel)))


def _cells(run_id: int) -> Rows:
    own = [c for c in table_of(Cell).columns if c.name not in ("id", "run_id", "frame_id", "label")]
    query = select(*_NUCLEUS, *own).join(FrameRow, col(FrameRow.id) == col(Cell.frame_id))
    return query.where(col(Cell.run_id) == run_id, col(Cell.frame_id).in_(frames_of_runs([run_id]))).order_by(
        col(FrameRow.name), col(Cell.label)
    )


def _verdicts(run_id: int) -> Rows:
    query = _of_cells(Verdict, run_id, col(Verdict.filter), col(Verdict.reason)).where(col(Cell.run_id) == run_id)
    return query.order_by(col(FrameRow.name), col(Cell.label), col(Verdict.filter))


def _signals(run_id: int) -> Rows:
    own = (col(ChannelRow.name).label("channel"), col(SignalRow.number), *_dot(SignalRow), col(SignalRow.state), col(SignalRow.reason))
    query = _named(_of_cells(SignalRow, run_id, *own), SignalRow, col(Cell.frame_id)).where(col(SignalRow.run_id) == run_id)
    return query.order_by(col(FrameRow.name), col(Cell.label), col(SignalRow.channel), col(SignalRow.number))


def _contested(run_id: int) -> Rows:
    other = aliased(Cell)  # of the same frame
    own: tuple[Any, ...] = (col(ChannelRow.name).label("channel"), col(ContestedSignal.number), col(other.label).label("other_label"))
    query = _named(_of_cells(ContestedSignal, run_id, *own), ContestedSignal, col(Cell.frame_id))
    query = query.outerjoin(other, col(other.id) == col(ContestedSignal.other_cell_id)).where(col(ContestedSignal.run_id) == run_id)
    return query.order_by(col(FrameRow.name), col(Cell.label), col(ContestedSignal.channel), col(ContestedSignal.number))


def _strays(run_id: int) -> Rows:
    own: tuple[Any, ...] = (
        col(FrameRow.name).label("frame"),
        col(ChannelRow.name).label("channel"),
        col(StraySignal.number),
        *_dot(StraySignal),
    )
    query = _named(
        select(*own).select_from(StraySignal).join(FrameRow, col(FrameRow.id) == col(StraySignal.frame_id)),
        StraySignal,
        col(StraySignal.frame_id),
    )
    query = query.where(col(StraySignal.run_id) == run_id, col(StraySignal.frame_id).in_(frames_of_runs([run_id])))
    return query.order_by(col(FrameRow.name), col(StraySignal.channel), col(StraySignal.number))


def _counts(run_id: int) -> Rows:
    query = _named(
        _of_cells(SignalCount, run_id, col(ChannelRow.name).label("channel"), col(SignalCount.n)), SignalCount, col(Cell.frame_id)
    )
    return query.where(col(SignalCount.run_id) == run_id).order_by(col(FrameRow.name), col(Cell.label), col(SignalCount.channel))


def _calls(run_id: int) -> Rows:
    own = [c for c in table_of(CellCall).columns if c.name not in ("cell_id", "run_id")]
    return _of_cells(CellCall, run_id, *own).where(col(CellCall.run_id) == run_id).order_by(col(FrameRow.name), col(Cell.label))


def _duplicates(run_id: int) -> Rows:
    stands, there = aliased(Cell), aliased(FrameRow)
    query = _of_cells(Duplicate, run_id, col(there.name).label("of_frame"), col(stands.label).label("of_label"))
    query = query.join(stands, col(stands.id) == col(Duplicate.duplicate_of)).join(there, col(there.id) == col(stands.frame_id))
    return query.where(col(Duplicate.run_id) == run_id).order_by(col(FrameRow.name), col(Cell.label))


def _quality(run_id: int) -> Rows:
    own = [c for c in table_of(SlideQuality).columns if c.name != "run_id"]
    return select(*own).where(col(SlideQuality.run_id) == run_id).order_by(col(SlideQuality.channel), col(SlideQuality.measure))


CONTENT: Mapping[str, Mapping[str, Callable[[int], Rows]]] = {
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
"""Queries of a run's rows by step and kind, by the run's number and in a fixed order."""


def rows_of(session: Session, step: str, content: str, run_id: int) -> list[dict[str, Any]]:
    """Return the rows of one kind of content of a run, see CONTENT."""
    return [dict(row) for row in session.connection().execute(CONTENT[step][content](run_id)).mappings()]


def ledger_of(session: Session, run_id: int) -> list[tuple[FrameRow, RunFrame]]:
    """Return the frames of a run with their state, by name."""
    query = select_rows(FrameRow, RunFrame).where(FrameRow.id == RunFrame.frame_id, RunFrame.run_id == run_id)
    return [(frame, state) for frame, state in session.exec(query.order_by(col(FrameRow.name)))]
