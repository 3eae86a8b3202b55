"""Questions about single cells: the table ``cells`` shows, and the dots of one cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, cast, func, null, select, text
from sqlmodel import Session

from cacapp.db.queries import frames_of_runs, latest_run_ids, slides
from cacapp.db.runs.ledger import get_run
from cacapp.db.tables import NOT_NORMAL, Table
from cacapp.exceptions import CacappError, UsageError

_T = Table.metadata.tables
CELL, CALL, COUNT, SIGNAL = _T["cell"], _T["cell_call"], _T["signal_count"], _T["signal"]
DUPLICATE = _T["duplicate"]
FRAME, SLIDE, PATIENT, CHANNEL = _T["frame"], _T["slide"], _T["patient"], _T["channel"]


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
    needs_review: bool
    review_reason: str | None
    evaluable: bool
    exclusion_reason: str | None
    run_id: int | None
    segment_run_id: int
    frame_id: int
    duplicate_of: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """One flat record for tables and files, with a column for each probe and ``class`` for ``class_``."""
        first = ("patient", "slide", "frame", "label", "y", "x", "area_px")
        last = ("subtype", "is_cac", "margin", "needs_review", "review_reason", "evaluable", "exclusion_reason", "duplicate_of")
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
    """Cells with their calls, by slide, frame and label, out of each slide's latest succeeded count run.

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
    """The dots of a cell by channel, counting or not (``reason``), as of the latest succeeded count run or ``run_id``.

    Raises:
        CacappError: there is no such cell.
    """
    cell = (
        session.connection()
        .execute(select(CELL.c.frame_id, FRAME.c.slide_id).join(FRAME, FRAME.c.id == CELL.c.frame_id).where(CELL.c.id == cell_id))
        .first()
    )
    if cell is None:
        raise CacappError(f"there is no cell {cell_id}; `cacapp cells` shows those there are")
    run_id = latest_run_ids(session, "count", [cell.slide_id]).get(cell.slide_id) if run_id is None else run_id
    return _signals(session, SIGNAL.c.cell_id == cell_id, SIGNAL.c.run_id == run_id)


def signals_of_frame(session: Session, run_id: int, frame_id: int) -> list[SignalRecord]:
    """The dots of all cells of a frame in a count run, by cell and channel; dots outside all nuclei are not among them."""
    return _signals(session, SIGNAL.c.cell_id.in_(select(CELL.c.id).where(CELL.c.frame_id == frame_id)), SIGNAL.c.run_id == run_id)


def _signals(session: Session, *conditions: ColumnElement[bool]) -> list[SignalRecord]:
    query = (
        select(SIGNAL, CHANNEL.c.name)
        .join(CELL, CELL.c.id == SIGNAL.c.cell_id)
        .join(CHANNEL, and_(CHANNEL.c.frame_id == CELL.c.frame_id, CHANNEL.c.index == SIGNAL.c.channel))
        .where(*conditions)
        .order_by(SIGNAL.c.cell_id, SIGNAL.c.channel, SIGNAL.c.number)
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
    """The runs to read, by barcode of their slides."""
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


def _counted(run_ids: Sequence[int], class_: str | None) -> Select[Any]:
    """Cells with calls: those of a class by the index of calls, all of them by the frames of the runs' slides."""
    query = select(CALL, CELL.c.frame_id).join(CELL, CELL.c.id == CALL.c.cell_id).where(CALL.c.run_id.in_(run_ids))
    if class_ is None or class_ == "normal":
        query = query.where(CELL.c.frame_id.in_(frames_of_runs(run_ids)))
    else:
        query = query.where(text(f"cell_call.{NOT_NORMAL}"))  # lets the databases use the partial index
    return query if class_ is None else query.where(CALL.c["class"] == class_)


def _segmented(run_id: int) -> Select[Any]:
    """Cells without calls."""
    names = ("run_id", "class", "subtype", "is_cac", "margin", "needs_review", "review_reason")
    missing = [cast(null(), CALL.c[name].type).label(name) for name in names]  # PostgreSQL compares no number with an untyped null
    own = (CELL.c.evaluable, CELL.c.exclusion_reason, CELL.c.frame_id)
    query = select(CELL.c.id.label("cell_id"), *missing, *own).where(CELL.c.run_id == run_id)
    return query.where(CELL.c.frame_id.in_(frames_of_runs([run_id])))


def _read(session: Session, picked: Select[Any], limit: int | None) -> list[CellRow]:
    """The first ``limit`` picked cells by slide, frame and label; everything else is looked up for them alone."""
    order = (SLIDE.c.barcode, FRAME.c.name, CELL.c.label)
    if limit is not None:
        places = picked.join(FRAME, FRAME.c.id == CELL.c.frame_id).join(SLIDE, SLIDE.c.id == FRAME.c.slide_id)
        picked = places.order_by(*order).limit(limit)
    call = picked.subquery("call")
    place = (PATIENT.c.code.label("patient"), SLIDE.c.barcode.label("slide"), FRAME.c.name.label("frame"))
    own = (CELL.c.label, CELL.c.centroid_y_px, CELL.c.centroid_x_px, CELL.c.area_px, CELL.c.run_id.label("segment_run_id"))
    reason = func.coalesce(call.c.exclusion_reason, CELL.c.exclusion_reason).label("reason")
    query = (
        select(*place, *own, call, reason)
        .join(CELL, CELL.c.id == call.c.cell_id)
        .join(FRAME, FRAME.c.id == CELL.c.frame_id)
        .join(SLIDE, SLIDE.c.id == FRAME.c.slide_id)
        .join(PATIENT, PATIENT.c.id == SLIDE.c.patient_id)
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
    """Cell id of each duplicate to the cell that stands for it."""
    query = select(DUPLICATE.c.cell_id, DUPLICATE.c.duplicate_of).join(
        call, and_(call.c.cell_id == DUPLICATE.c.cell_id, call.c.run_id == DUPLICATE.c.run_id)
    )
    return {row.cell_id: row.duplicate_of for row in session.connection().execute(query)}


def _counts(session: Session, call: Subquery) -> dict[int, dict[str, int]]:
    """Cell id to its copies by channel name; the name is that of the channel in the cell's own frame."""
    connection = session.connection()
    channels = select(CHANNEL.c.frame_id, CHANNEL.c.index, CHANNEL.c.name).where(CHANNEL.c.frame_id.in_(select(call.c.frame_id)))
    names = {(frame_id, index): name for frame_id, index, name in connection.execute(channels)}
    query = (
        select(COUNT.c.cell_id, call.c.frame_id, COUNT.c.channel, COUNT.c.n)
        .join(call, and_(call.c.cell_id == COUNT.c.cell_id, call.c.run_id == COUNT.c.run_id))
        .order_by(COUNT.c.cell_id, COUNT.c.channel)
    )
    counts: dict[int, dict[str, int]] = {}
    for cell_id, frame_id, channel, n in connection.execute(query):
        counts.setdefault(cell_id, {})[names[frame_id, channel]] = n
    return counts
