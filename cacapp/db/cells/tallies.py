"""Cells and signals of count runs, counted by the database: what the patients' results are added up from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, select
from sqlmodel import Session, col

from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import Cell, CellCall, ChannelRow, SignalCount
from cacapp.fish.patient import CallGroup


def call_groups(session: Session, run_ids: Sequence[int]) -> list[CallGroup]:
    """Return the cells of count runs by their call. The assay says what each group counts as (``cacapp.fish.patient.tally``)."""
    same = (
        col(CellCall.class_),
        col(CellCall.subtype),
        col(CellCall.is_cac),
        col(CellCall.evaluable),
        col(CellCall.exclusion_reason),
        col(CellCall.needs_review),
    )
    query = select(*same, func.count()).where(*_calls_of(run_ids)).group_by(*same)
    return [CallGroup(*row) for row in session.connection().execute(query)]


def copy_histograms(session: Session, run_ids: Sequence[int]) -> dict[str, dict[int, int]]:
    """Return evaluable cells by probe channel and copies, over count runs: {"red": {2: 940, 3: 12}}."""
    name, n = col(ChannelRow.name), col(SignalCount.n)
    query = (
        select(name, n, func.count().label("cells"))
        .select_from(CellCall)
        .join(SignalCount, and_(col(SignalCount.cell_id) == col(CellCall.cell_id), col(SignalCount.run_id) == col(CellCall.run_id)))
        .join(Cell, col(Cell.id) == col(CellCall.cell_id))
        .join(ChannelRow, and_(col(ChannelRow.frame_id) == col(Cell.frame_id), col(ChannelRow.index) == col(SignalCount.channel)))
        .where(*_calls_of(run_ids), col(CellCall.evaluable).is_(True))
        .group_by(name, n)
        .order_by(name, n)
    )
    found: dict[str, dict[int, int]] = {}
    for channel, copies, cells in session.connection().execute(query):
        found.setdefault(channel, {})[copies] = cells
    return found


def signal_totals(session: Session, run_ids: Sequence[int]) -> dict[str, int]:
    """Return the counted signals of the evaluable cells by probe channel, over count runs."""
    return {c: sum(n * cells for n, cells in bins.items()) for c, bins in copy_histograms(session, run_ids).items()}


def _calls_of(run_ids: Sequence[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    here = select(col(Cell.id)).where(col(Cell.frame_id).in_(frames_of_runs(run_ids)))
    return col(CellCall.run_id).in_(run_ids), col(CellCall.cell_id).in_(here)
