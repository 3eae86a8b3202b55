"""Cells as the software called them, for those who look at single ones: states, places and dots of many cells at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select, text
from sqlmodel import Session

from cacapp.db.queries import frames_of_runs
from cacapp.db.tables import NOT_NORMAL, Table
from cacapp.fish.review import Dot, State

_T = Table.metadata.tables
CELL, CALL, COUNT, SIGNAL, CHANNEL, DUPLICATE = (
    _T["cell"],
    _T["cell_call"],
    _T["signal_count"],
    _T["signal"],
    _T["channel"],
    _T["duplicate"],
)
AT_ONCE = 500
"""Cells a statement names: databases limit the number of parameters."""


@dataclass(frozen=True, slots=True)
class Called:
    """A cell of a count run: what is needed to order and filter a slide's cells without looking at each."""

    cell_id: int
    frame_id: int
    class_: str | None
    subtype: str | None
    is_cac: bool
    needs_review: bool
    evaluable: bool
    margin: float | None

    @property
    def flagged(self) -> bool:
        return self.evaluable and (self.is_cac or self.needs_review)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a nucleus lies and its compressed mask (see cacapp.arrays.rle)."""

    cell_id: int
    frame_id: int
    label: int
    bbox_xywh: tuple[int, int, int, int]
    mask: bytes
    y_px: float
    x_px: float
    area_px: int


def called_cells(session: Session, run_id: int) -> list[Called]:
    """All cells of a count run, in the order of their numbers."""
    query = (
        select(
            CALL.c.cell_id,
            CELL.c.frame_id,
            CALL.c["class"],
            CALL.c.subtype,
            CALL.c.is_cac,
            CALL.c.needs_review,
            CALL.c.evaluable,
            CALL.c.margin,
        )
        .join(CELL, CELL.c.id == CALL.c.cell_id)
        .where(CALL.c.run_id == run_id, CELL.c.frame_id.in_(frames_of_runs([run_id])))
        .order_by(CALL.c.cell_id)
    )
    return [Called(*row) for row in session.connection().execute(query)]


def flagged_counts(session: Session, run_ids: Sequence[int]) -> dict[int, int]:
    """Count run to the number of its cells that need a person's look; runs without one are left out.

    No normal cell is flagged, so that the index of the others is enough.
    """
    query = (
        select(CALL.c.run_id, func.count().label("n"))
        .where(CALL.c.run_id.in_(run_ids), text(f"cell_call.{NOT_NORMAL}"), CALL.c.evaluable.is_(True))
        .where(CALL.c.is_cac.is_(True) | CALL.c.needs_review.is_(True))
        .group_by(CALL.c.run_id)
    )
    return {row.run_id: row.n for row in session.connection().execute(query)}


def machine_states(session: Session, run_id: int, cell_ids: Sequence[int]) -> dict[int, State]:
    """Cell id to its state as the count run left it; cells the run did not call are left out."""
    counts: dict[int, dict[str, int]] = {}
    states = {}
    for some in _chunks(cell_ids):
        query = (
            select(COUNT.c.cell_id, CHANNEL.c.name, COUNT.c.n)
            .join(CELL, CELL.c.id == COUNT.c.cell_id)
            .join(CHANNEL, and_(CHANNEL.c.frame_id == CELL.c.frame_id, CHANNEL.c.index == COUNT.c.channel))
            .where(COUNT.c.cell_id.in_(some), COUNT.c.run_id == run_id)
            .order_by(COUNT.c.cell_id, COUNT.c.channel)
        )
        for cell_id, channel, n in session.connection().execute(query):
            counts.setdefault(cell_id, {})[channel] = n
        calls = session.connection().execute(select(CALL).where(CALL.c.cell_id.in_(some), CALL.c.run_id == run_id)).mappings()
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


def places(session: Session, cell_ids: Sequence[int]) -> dict[int, Place]:
    """Cell id to its place; unknown cells are left out."""
    found = {}
    for some in _chunks(cell_ids):
        for row in session.connection().execute(select(CELL).where(CELL.c.id.in_(some))):
            box = (row.bbox_x_px, row.bbox_y_px, row.bbox_w_px, row.bbox_h_px)
            found[row.id] = Place(row.id, row.frame_id, row.label, box, row.mask, row.centroid_y_px, row.centroid_x_px, row.area_px)
    return found


def places_near(session: Session, run_id: int, frame_id: int, window: tuple[int, int, int, int]) -> list[Place]:
    """Nuclei of a segmentation run whose boxes meet the window (left, top, width, height) of a frame."""
    left, top, width, height = window
    near = and_(
        CELL.c.run_id == run_id,
        CELL.c.frame_id == frame_id,
        CELL.c.bbox_x_px < left + width,
        CELL.c.bbox_x_px + CELL.c.bbox_w_px > left,
        CELL.c.bbox_y_px < top + height,
        CELL.c.bbox_y_px + CELL.c.bbox_h_px > top,
    )
    ids = list(session.execute(select(CELL.c.id).where(near).order_by(CELL.c.label)).scalars())
    return list(places(session, ids).values())


def dots_of_cells(session: Session, run_id: int, cell_ids: Sequence[int]) -> dict[int, list[Dot]]:
    """Cell id to the dots the software found in it, counting or not."""
    found: dict[int, list[Dot]] = {cell_id: [] for cell_id in cell_ids}
    for some in _chunks(cell_ids):
        query = (
            select(SIGNAL, CHANNEL.c.name)
            .join(CELL, CELL.c.id == SIGNAL.c.cell_id)
            .join(CHANNEL, and_(CHANNEL.c.frame_id == CELL.c.frame_id, CHANNEL.c.index == SIGNAL.c.channel))
            .where(SIGNAL.c.cell_id.in_(some), SIGNAL.c.run_id == run_id)
            .order_by(SIGNAL.c.cell_id, SIGNAL.c.channel, SIGNAL.c.number)
        )
        for row in session.connection().execute(query):
            found[row.cell_id].append(Dot(row.name, row.number, row.y_px, row.x_px, row.reason is None, row.snr, row.reason))
    return found


def duplicate_of(session: Session, run_id: int, cell_id: int) -> int | None:
    """The cell that stands for this one where frames overlap."""
    query = select(DUPLICATE.c.duplicate_of).where(DUPLICATE.c.cell_id == cell_id, DUPLICATE.c.run_id == run_id)
    found: int | None = session.execute(query).scalar_one_or_none()
    return found


def _chunks(cell_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(cell_ids), AT_ONCE):
        yield cell_ids[start : start + AT_ONCE]
