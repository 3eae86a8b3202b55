"""Queries about single cells: the rows that ``cacapp cells`` shows, and the dots of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, cast, func, null, select, text
from sqlmodel import Session, col

from cacapp.db.queries import frames_of_runs, latest_run_ids, slides
from cacapp.db.runs.ledger import get_run
from cacapp.db.tables import NOT_NORMAL, Cell, CellCall, ChannelRow, Duplicate, FrameRow, Patient, SignalCount, SignalRow, Slide, table_of
from cacapp.exceptions import CacappError, UsageError

Rows = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class CellRow:
    """A cell with its call. ``counts``: copies by probe channel name; empty, and ``class_`` None, where nothing is counted yet.

    ``y, x``: centroid in px. ``run_id``: the count run, None where not counted; ``segment_run_id``: the run that found the cell.
    ``duplicate_of``: the id of the cell that stands for it where frames overlap.
    """

    cell_id: int
    patient: str
    slide: str
    frame: str
    label: int
    y: float
    x: float
    area_px: int
    counts: dict[str, int]
    class_: str | None
    subtype: str | None
    is_cac: bool
    margin: float | None
    p_cac: float | None
    p_terms: str | None
    needs_review: bool
    review_reason: str | None
    evaluable: bool
    exclusion_reason: str | None
    run_id: int | None
    segment_run_id: int
    frame_id: int
    duplicate_of: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return a flat record for tables and files, with a column for each probe and ``class`` for ``class_``."""
        first = ("patient", "slide", "frame", "label", "y", "x", "area_px")
        last = (
            "subtype",
            "is_cac",
            "margin",
            "p_cac",
            "p_terms",
            "needs_review",
            "review_reason",
            "evaluable",
            "exclusion_reason",
            "duplicate_of",
        )
        ids = ("run_id", "segment_run_id", "cell_id")
        return {
            **{name: getattr(self, name) for name in first},
            **self.counts,
            "class": self.class_,
            **{name: getattr(self, name) for name in (*last, *ids)},
        }


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """A stored dot of a cell. ``channel``: probe channel name; ``yx`` and ``sigma_px`` in px; ``state``: auto, added or removed."""

    cell_id: int
    channel: str
    number: int
    yx: tuple[float, float]
    snr: float
    amplitude: float
    sigma_px: float
    state: str
    reason: str | None


STATES = ("auto", "added", "removed")


def cells(
    session: Session,
    *,
    patient: str | None = None,
    slide: str | None = None,
    class_: str | None = None,
    limit: int | None = None,
    run_id: int | None = None,
) -> list[CellRow]:
    """Return cells with their calls, by slide, frame and label, from each slide's latest succeeded count run.

    A slide that is segmented and not yet counted shows its cells without calls (unless a class is asked for).

    Args:
        run_id: read this count or segment run instead.

    Raises:
        CacappError: no such patient, slide or run.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"--limit {limit}: give a number of rows, 0 or more")
    sources = _runs(session, patient, slide, run_id)
    if class_ is not None and class_ != "normal":
        counted = [source.run_id for source in sources if source.counted]
        return _read(session, _counted(counted, class_), limit)
    rows: list[CellRow] = []
    for source in sources:  # slide by slide, so that a limit is reached without sorting the whole record
        left = None if limit is None else limit - len(rows)
        if left == 0:
            break
        if source.counted:
            rows += _read(session, _counted([source.run_id], class_), left)
        elif class_ is None:
            rows += _read(session, _segmented(source.run_id), left)
    return rows


def signals_of(session: Session, cell_id: int, run_id: int | None = None) -> list[SignalRecord]:
    """Return the dots of a cell by channel, whether they count or not (``reason``), of the latest succeeded count run or of ``run_id``.

    Raises:
        CacappError: there is no such cell.
    """
    cell = (
        session.connection()
        .execute(
            select(col(Cell.frame_id), col(FrameRow.slide_id))
            .join(FrameRow, col(FrameRow.id) == col(Cell.frame_id))
            .where(col(Cell.id) == cell_id)
        )
        .first()
    )
    if cell is None:
        raise CacappError(f"there is no cell {cell_id}; `cacapp cells` shows those there are")
    run_id = latest_run_ids(session, "count", [cell.slide_id]).get(cell.slide_id) if run_id is None else run_id
    return read_signals(session, col(SignalRow.cell_id) == cell_id, col(SignalRow.run_id) == run_id)


def signals_of_frame(session: Session, run_id: int, frame_id: int) -> list[SignalRecord]:
    """Return the dots of all cells of a frame in a count run, by cell and channel; dots outside all nuclei are not among them."""
    return read_signals(
        session, col(SignalRow.cell_id).in_(select(col(Cell.id)).where(col(Cell.frame_id) == frame_id)), col(SignalRow.run_id) == run_id
    )


def read_signals(session: Session, *conditions: ColumnElement[bool]) -> list[SignalRecord]:
    """Return the dots that fit the conditions, by cell, channel and number."""
    query = (
        select(SignalRow, col(ChannelRow.name))
        .join(Cell, col(Cell.id) == col(SignalRow.cell_id))
        .join(ChannelRow, and_(col(ChannelRow.frame_id) == col(Cell.frame_id), col(ChannelRow.index) == col(SignalRow.channel)))
        .where(*conditions)
        .order_by(col(SignalRow.cell_id), col(SignalRow.channel), col(SignalRow.number))
    )
    return [
        SignalRecord(
            cell_id=row.cell_id,
            channel=row.name,
            number=row.number,
            yx=(row.y_px, row.x_px),
            snr=row.snr,
            amplitude=row.amplitude,
            sigma_px=row.sigma_px,
            state=STATES[row.state],
            reason=row.reason,
        )
        for row in session.connection().execute(query)
    ]


@dataclass(frozen=True, slots=True)
class _Source:
    """The run to read a slide's cells from: a count run, or a segment run where nothing is counted yet."""

    run_id: int
    counted: bool


def _runs(session: Session, patient: str | None, slide: str | None, run_id: int | None) -> list[_Source]:
    """Return the runs to read, by barcode of their slides."""
    chosen = [summary.slide.id for summary in slides(session, [slide] if slide is not None else None, patient)]
    slide_ids = [slide_id for slide_id in chosen if slide_id is not None]
    if run_id is not None:
        run = get_run(session, run_id)
        if run.slide_id not in slide_ids or run.step not in ("count", "segment"):
            raise CacappError(f"run {run_id} has no cells of the slides asked for; `cacapp runs list` shows which run is whose")
        return [_Source(run_id, run.step == "count")]
    counted = latest_run_ids(session, "count", slide_ids)
    segmented = latest_run_ids(session, "segment", slide_ids) | counted
    return [_Source(segmented[slide_id], slide_id in counted) for slide_id in slide_ids if slide_id in segmented]


def _counted(run_ids: Sequence[int], class_: str | None) -> Rows:
    """Select cells with calls: those of a class by the index of calls, all of them by the frames of the runs' slides."""
    query = select(CellCall, col(Cell.frame_id)).join(Cell, col(Cell.id) == col(CellCall.cell_id)).where(col(CellCall.run_id).in_(run_ids))
    if class_ is None or class_ == "normal":
        query = query.where(col(Cell.frame_id).in_(frames_of_runs(run_ids)))
    else:
        query = query.where(text(f"cell_call.{NOT_NORMAL}"))  # lets the databases use the partial index
    return query if class_ is None else query.where(col(CellCall.class_) == class_)


def _segmented(run_id: int) -> Rows:
    """Select cells without calls."""
    names = ("run_id", "class", "subtype", "is_cac", "margin", "p_cac", "p_terms", "needs_review", "review_reason")
    columns = table_of(CellCall).columns
    missing = [cast(null(), columns[name].type).label(name) for name in names]  # PostgreSQL compares no number with an untyped null
    own = (col(Cell.evaluable), col(Cell.exclusion_reason), col(Cell.frame_id))
    query = select(col(Cell.id).label("cell_id"), *missing, *own).where(col(Cell.run_id) == run_id)
    return query.where(col(Cell.frame_id).in_(frames_of_runs([run_id])))


def _read(session: Session, picked: Rows, limit: int | None) -> list[CellRow]:
    """Read the first ``limit`` selected cells by slide, frame and label; counts and duplicates are read for these alone."""
    order = (col(Slide.barcode), col(FrameRow.name), col(Cell.label))
    if limit is not None:
        places = picked.join(FrameRow, col(FrameRow.id) == col(Cell.frame_id)).join(Slide, col(Slide.id) == col(FrameRow.slide_id))
        picked = places.order_by(*order).limit(limit)
    call = picked.subquery("call")
    place: tuple[Any, ...] = (col(Patient.code).label("patient"), col(Slide.barcode).label("slide"), col(FrameRow.name).label("frame"))
    own: tuple[Any, ...] = (
        col(Cell.label),
        col(Cell.centroid_y_px),
        col(Cell.centroid_x_px),
        col(Cell.area_px),
        col(Cell.run_id).label("segment_run_id"),
    )
    reason = func.coalesce(call.c.exclusion_reason, col(Cell.exclusion_reason)).label("reason")
    query = (
        select(*place, *own, call, reason)
        .join(Cell, col(Cell.id) == call.c.cell_id)
        .join(FrameRow, col(FrameRow.id) == col(Cell.frame_id))
        .join(Slide, col(Slide.id) == col(FrameRow.slide_id))
        .join(Patient, col(Patient.id) == col(Slide.patient_id))
        .order_by(*order)
    )
    counts, twice = _counts(session, call), _duplicates(session, call)
    return [
        CellRow(
            cell_id=row["cell_id"],
            patient=row["patient"],
            slide=row["slide"],
            frame=row["frame"],
            label=row["label"],
            y=row["centroid_y_px"],
            x=row["centroid_x_px"],
            area_px=row["area_px"],
            counts=counts.get(row["cell_id"], {}),
            class_=row["class"],
            subtype=row["subtype"],
            is_cac=bool(row["is_cac"]),
            margin=row["margin"],
            p_cac=row["p_cac"],
            p_terms=row["p_terms"],
            needs_review=bool(row["needs_review"]),
            review_reason=row["review_reason"],
            evaluable=row["evaluable"],
            exclusion_reason=row["reason"],
            run_id=row["run_id"],
            segment_run_id=row["segment_run_id"],
            frame_id=row["frame_id"],
            duplicate_of=twice.get(row["cell_id"]),
        )
        for row in session.connection().execute(query).mappings()
    ]


def _duplicates(session: Session, call: Subquery) -> dict[int, int]:
    """Return the id of each duplicate to the cell that is counted in its place."""
    query = select(col(Duplicate.cell_id), col(Duplicate.duplicate_of)).join(
        call, and_(call.c.cell_id == col(Duplicate.cell_id), call.c.run_id == col(Duplicate.run_id))
    )
    return {row.cell_id: row.duplicate_of for row in session.connection().execute(query)}


def _counts(session: Session, call: Subquery) -> dict[int, dict[str, int]]:
    """Return cell id to copies by channel name; the name is that of the channel in the cell's own frame."""
    connection = session.connection()
    channels = select(col(ChannelRow.frame_id), col(ChannelRow.index), col(ChannelRow.name)).where(
        col(ChannelRow.frame_id).in_(select(call.c.frame_id))
    )
    names = {(frame_id, index): name for frame_id, index, name in connection.execute(channels)}
    query = (
        select(col(SignalCount.cell_id), call.c.frame_id, col(SignalCount.channel), col(SignalCount.n))
        .join(call, and_(call.c.cell_id == col(SignalCount.cell_id), call.c.run_id == col(SignalCount.run_id)))
        .order_by(col(SignalCount.cell_id), col(SignalCount.channel))
    )
    counts: dict[int, dict[str, int]] = {}
    for cell_id, frame_id, channel, n in connection.execute(query):
        counts.setdefault(cell_id, {})[names[frame_id, channel]] = n
    return counts
