"""Automatic calls for the review: states and dots of many cells at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select, text
from sqlmodel import Session, col

from cacapp.db.cells.places import chunks
from cacapp.db.cells.queries import read_signals
from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import NOT_NORMAL, Cell, CellCall, ChannelRow, Duplicate, SignalCount, SignalRow
from cacapp.fish.review import Dot, State


@dataclass(frozen=True, slots=True)
class CalledCell:
    """A cell of a count run with what is needed to order and filter a slide's cells."""

    cell_id: int
    frame_id: int
    class_: str | None
    subtype: str | None
    is_cac: bool
    needs_review: bool
    evaluable: bool
    margin: float | None
    p_cac: float | None
    p_terms: str | None

    @property
    def flagged(self) -> bool:
        return self.evaluable and (self.is_cac or self.needs_review)


def called_cells(session: Session, run_id: int) -> list[CalledCell]:
    """Return all cells of a count run, in the order of their ids."""
    query = (
        select(
            col(CellCall.cell_id),
            col(Cell.frame_id),
            col(CellCall.class_),
            col(CellCall.subtype),
            col(CellCall.is_cac),
            col(CellCall.needs_review),
            col(CellCall.evaluable),
            col(CellCall.margin),
            col(CellCall.p_cac),
            col(CellCall.p_terms),
        )
        .join(Cell, col(Cell.id) == col(CellCall.cell_id))
        .where(col(CellCall.run_id) == run_id, col(Cell.frame_id).in_(frames_of_runs([run_id])))
        .order_by(col(CellCall.cell_id))
    )
    return [CalledCell(*tuple(row)) for row in session.connection().execute(query)]


def flagged_counts(session: Session, run_ids: Sequence[int]) -> dict[int, int]:
    """Return count run to its number of flagged cells; runs without one are left out.

    No normal cell is flagged, so that the index of the others is enough.
    """
    query = (
        select(col(CellCall.run_id), func.count().label("n"))
        .where(col(CellCall.run_id).in_(run_ids), text(f"cell_call.{NOT_NORMAL}"), col(CellCall.evaluable).is_(True))
        .where(col(CellCall.is_cac).is_(True) | col(CellCall.needs_review).is_(True))
        .group_by(col(CellCall.run_id))
    )
    return {row.run_id: row.n for row in session.connection().execute(query)}


def machine_states(session: Session, run_id: int, cell_ids: Sequence[int]) -> dict[int, State]:
    """Return cell id to its state by the count run; cells that the run did not call are left out."""
    counts: dict[int, dict[str, int]] = {}
    states = {}
    for some in chunks(cell_ids):
        query = (
            select(col(SignalCount.cell_id), col(ChannelRow.name), col(SignalCount.n))
            .join(Cell, col(Cell.id) == col(SignalCount.cell_id))
            .join(ChannelRow, and_(col(ChannelRow.frame_id) == col(Cell.frame_id), col(ChannelRow.index) == col(SignalCount.channel)))
            .where(col(SignalCount.cell_id).in_(some), col(SignalCount.run_id) == run_id)
            .order_by(col(SignalCount.cell_id), col(SignalCount.channel))
        )
        for cell_id, channel, n in session.connection().execute(query):
            counts.setdefault(cell_id, {})[channel] = n
        calls = (
            session.connection().execute(select(CellCall).where(col(CellCall.cell_id).in_(some), col(CellCall.run_id) == run_id)).mappings()
        )
        for row in calls:
            states[row["cell_id"]] = State(
                counts=counts.get(row["cell_id"], {}),
                class_=row["class"],
                subtype=row["subtype"],
                is_cac=bool(row["is_cac"]),
                evaluable=bool(row["evaluable"]),
                exclusion_reason=row["exclusion_reason"],
                needs_review=bool(row["needs_review"]),
            )
    return states


def dots_of_cells(session: Session, run_id: int, cell_ids: Sequence[int]) -> dict[int, list[Dot]]:
    """Return cell id to the dots that the software found in it, whether they count or not."""
    found: dict[int, list[Dot]] = {cell_id: [] for cell_id in cell_ids}
    for some in chunks(cell_ids):
        for dot in read_signals(session, col(SignalRow.cell_id).in_(some), col(SignalRow.run_id) == run_id):
            found[dot.cell_id].append(Dot(dot.channel, dot.number, *dot.yx, dot.reason is None, dot.snr, dot.reason))
    return found


def duplicate_of(session: Session, run_id: int, cell_id: int) -> int | None:
    """Return the cell that is counted in place of this one where frames overlap; None if this one is counted."""
    query = select(col(Duplicate.duplicate_of)).where(col(Duplicate.cell_id) == cell_id, col(Duplicate.run_id) == run_id)
    found: int | None = session.execute(query).scalar_one_or_none()
    return found
