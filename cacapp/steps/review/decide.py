"""Step ``review``: write one decision of a person on one cell as one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.db.cells.states import dots_of_cells, duplicate_of, machine_states
from cacapp.db.engine.session import Database
from cacapp.db.queries import latest_run_ids
from cacapp.db.review.chain import append
from cacapp.db.review.readings import COMMENT, UNDO, latest_sign_offs, readings, review_by_key, reviews_of_cell
from cacapp.db.review.tables import Reading, Review
from cacapp.db.tables import Cell, FrameRow, Patient, Run, Slide
from cacapp.exceptions import CacappError, UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.evaluability import DUPLICATE
from cacapp.fish.review import AddedSignal, Dot, State, accept, add_signal, counts_now, reclassify, reject, remove_signal
from cacapp.results.reviewed import state_of, view_of
from cacapp.results.tally import assay_of

KINDS = ("accept", "class", "not_evaluable", "signal_added", "signal_removed", "signals_merged", COMMENT, UNDO)
MAX_TEXT = 2000
MERGE_REACH = 3.0
"""Largest distance of two dots of a split signal, in signal diameters."""


class ConflictError(CacappError):
    """The cell, run or patient changed after the reviewer opened it; nothing was written."""


@dataclass(frozen=True, slots=True)
class Action:
    """A decision on a cell.

    Attributes:
        kind: one of KINDS.
        class_: for "class".
        channel, y_px, x_px: for signals; y, x in the frame.
        number: a dot of the software. added: position among the cell's added signals. For "signals_merged" the signal to remove.
        into: for "signals_merged" the signal that remains, as ("number" or "added", value).
        reason: required for "not_evaluable" and "comment".
    """

    kind: str
    class_: str | None = None
    channel: str | None = None
    y_px: float | None = None
    x_px: float | None = None
    number: int | None = None
    added: int | None = None
    into: tuple[str, int] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The row of the decision, written now or earlier (``repeated``), and the cell's state after it."""

    review: Review
    state: State
    repeated: bool


def decide(db: Database, reviewer: str, cell_id: int, action: Action, *, run_id: int, seen: int, key: str | None = None) -> Outcome:
    """Write a decision in the reviewer's position, in one transaction.

    Args:
        run_id: the count run that the reviewer saw.
        seen: number of the newest review of the cell that the reviewer saw, 0 without one.
        key: chosen by the client; a decision sent twice with the same key is written once.

    Raises:
        UsageError: the action is not possible on this cell.
        ConflictError: somebody else decided, counted or signed in the meantime.
    """
    if action.kind not in KINDS:
        raise UsageError(f"action {action.kind!r}: choose one of {', '.join(KINDS)}")
    if action.reason is not None and len(action.reason) > MAX_TEXT:
        raise UsageError(f"a text of {len(action.reason)} characters is too long; {MAX_TEXT} at most")
    with db.session() as session:
        run = _run_of(session, cell_id, run_id)
        if key is not None and (done := review_by_key(session, key)) is not None:
            if (done.reviewer, done.cell_id, done.run_id) != (reviewer, cell_id, run_id):
                raise ConflictError("this action's key belongs to another review; reload the page")
            return Outcome(done, state_of(done), True)
        require_open(session, run)
        position = _position(session, run_id, reviewer)
        rows = reviews_of_cell(session, cell_id, run_id, (position,))
        newest = rows[-1] if rows else None
        if (newest.id if newest else 0) != seen:
            by = f" by {newest.reviewer}" if newest else ""
            raise ConflictError(f"cell {cell_id} was decided{by} after you opened it; look at it again")
        before = current_state(session, run_id, cell_id, rows, position)
        undoes: Review | None = None
        if action.kind == UNDO:
            undoes = undoable(rows)
            after = State.of_record(undoes.before)
        else:
            after = _after(session, run, cell_id, before, action)
        written = Review(
            cell_id=cell_id,
            run_id=run_id,
            reviewer=reviewer,
            position=position,
            kind=action.kind,
            before=before.record(),
            after=after.record() | _detail(action),
            reason=(action.reason or "").strip() or None,
            undoes=undoes.id if undoes else None,
            key=key,
        )
        append(session, written)
        return Outcome(written, after, False)


def current_state(session: Session, run_id: int, cell_id: int, rows: list[Review], position: str) -> State:
    """Return the state after the position's last review, else the software's call. An adjudicator starts from the first reading."""
    deciding = [r for r in rows if r.kind != COMMENT]
    if deciding:
        return state_of(deciding[-1])
    if position == "adjudication":
        first = [r for r in reviews_of_cell(session, cell_id, run_id, ("first",)) if r.kind != COMMENT]
        if first:
            return state_of(first[-1])
    return machine_states(session, run_id, [cell_id])[cell_id]


def undoable(rows: list[Review]) -> Review:
    """Return the decision to undo: the last one that is not undone yet. Raises UsageError if there is none."""
    remaining: list[Review] = []
    for row in rows:
        if row.kind == UNDO:
            remaining.pop()
        elif row.kind != COMMENT:
            remaining.append(row)
    if not remaining:
        raise UsageError("there is nothing to undo on this cell")
    return remaining[-1]


def require_open(session: Session, run: Run) -> None:
    """Raise ConflictError if the slide was counted again or the result is signed. Locks the patient until the transaction ends."""
    slide = session.get_one(Slide, run.slide_id)
    session.execute(select(col(Patient.id)).where(col(Patient.id) == slide.patient_id).with_for_update(read=True))
    newest = latest_run_ids(session, "count", [run.slide_id]).get(run.slide_id)
    if newest != run.id:
        raise ConflictError(f"slide {slide.barcode} was counted again (run {newest}); open it again")
    signed = latest_sign_offs(session, [slide.patient_id]).get(slide.patient_id)
    if signed is not None and signed[1] is None:
        raise ConflictError("the result is signed; a pathologist can open it again with an amendment")


def _run_of(session: Session, cell_id: int, run_id: int) -> Run:
    """Return the count run. Raises UsageError if it did not call the cell. Locks the cell until the transaction ends."""
    query = select(col(Cell.frame_id)).where(col(Cell.id) == cell_id).with_for_update()
    frame_id = session.execute(query).scalar_one_or_none()
    run = session.get(Run, run_id)
    if frame_id is None or run is None or run.step != "count" or session.get_one(FrameRow, frame_id).slide_id != run.slide_id:
        raise UsageError(f"there is no cell {cell_id} in count run {run_id}")
    if not machine_states(session, run_id, [cell_id]):
        raise UsageError(f"count run {run_id} did not call cell {cell_id}")
    return run


def _position(session: Session, run_id: int, reviewer: str) -> str:
    """Return the reviewer's position; without one they join the first reading, unless a second one has begun."""
    own = readings(session, [run_id]).get(run_id, [])
    view = view_of(own, reviewer)
    mine = next((r for r in own if r.reviewer == reviewer), None)
    if mine is not None and mine.position == "second":
        if mine.finished_at is not None:
            raise ConflictError("your reading is finished; disagreements are settled by an adjudicator")
        return "second"
    if mine is not None and mine.position == "adjudication":
        return "adjudication"
    if view.second != "none":
        raise ConflictError("the first reading is closed since the second one began; disagreements are settled by an adjudicator")
    if mine is None:
        session.add(Reading(run_id=run_id, reviewer=reviewer, position="first"))
        session.flush()
    return "first"


def _after(session: Session, run: Run, cell_id: int, before: State, action: Action) -> State:
    assay = assay_of(run)
    if action.kind == COMMENT:
        if not (action.reason or "").strip():
            raise UsageError("a comment needs a text")
        return before
    if action.kind == "accept":
        return accept(before, assay)
    if action.kind == "not_evaluable":
        return reject(before, action.reason or "", assay)
    if not before.evaluable and before.exclusion_reason == DUPLICATE:
        twin = duplicate_of(session, run.id, cell_id)
        raise UsageError(f"this nucleus is also cell {twin}, which counts; decide on that one")
    if action.kind == "class":
        return reclassify(before, action.class_ or "", assay)
    return _with_signals(session, run, cell_id, before, action, assay)


def _with_signals(session: Session, run: Run, cell_id: int, before: State, action: Action, assay: Assay) -> State:
    dots = dots_of_cells(session, run.id, [cell_id])[cell_id]
    channel = action.channel or ""
    if channel not in assay.channels:
        raise UsageError(f"{channel!r} is no probe channel of the assay: {', '.join(assay.channels)}")
    dot = next((d for d in dots if (d.channel, d.number) == (channel, action.number)), None)
    if action.number is not None and dot is None:
        raise UsageError(f"cell {cell_id} has no {channel} dot {action.number}")
    if action.kind == "signal_added":
        return add_signal(before, _added(session, cell_id, action, dot, before), assay)
    if action.kind == "signals_merged":
        _require_split(session, cell_id, before, action, dots, assay)
    return remove_signal(before, channel, dot, action.added, assay)


def _added(session: Session, cell_id: int, action: Action, dot: Dot | None, before: State) -> AddedSignal:
    if dot is not None:
        if counts_now(before, dot):
            raise UsageError(f"this {dot.channel} dot already counts")
        return AddedSignal(dot.channel, dot.y_px, dot.x_px, dot.number)
    if action.y_px is None or action.x_px is None:
        raise UsageError("give the position of the signal in the frame: y_px and x_px")
    cell = session.connection().execute(select(Cell).where(col(Cell.id) == cell_id)).one()
    rim = max(cell.bbox_w_px, cell.bbox_h_px) / 2
    inside_y = cell.bbox_y_px - rim <= action.y_px <= cell.bbox_y_px + cell.bbox_h_px + rim
    inside_x = cell.bbox_x_px - rim <= action.x_px <= cell.bbox_x_px + cell.bbox_w_px + rim
    if not (inside_y and inside_x):
        raise UsageError(f"y {action.y_px:.0f}, x {action.x_px:.0f} px is not on cell {cell_id}")
    return AddedSignal(action.channel or "", round(action.y_px, 1), round(action.x_px, 1))


def _require_split(session: Session, cell_id: int, before: State, action: Action, dots: list[Dot], assay: Assay) -> None:
    """Raise UsageError unless both signals count, are of one channel, and lie near each other."""
    if action.into is None:
        raise UsageError("give the signal that remains: into")
    which, value = action.into
    places = {("number", d.number): (d.y_px, d.x_px) for d in dots if d.channel == action.channel and counts_now(before, d)}
    places |= {("added", i): (a.y_px, a.x_px) for i, a in enumerate(before.added) if a.channel == action.channel}
    goes = ("added", action.added) if action.added is not None else ("number", action.number)
    stays = places.get((which, value))
    gone = places.get(cast(tuple[str, int], goes))
    if stays is None or gone is None or goes == (which, value):
        raise UsageError(f"choose two {action.channel} signals that count")
    frame = session.get_one(FrameRow, session.execute(select(col(Cell.frame_id)).where(col(Cell.id) == cell_id)).scalar_one())
    reach_px = MERGE_REACH * assay.signals.signal_diameter_px(frame.pixel_size_um)
    if (stays[0] - gone[0]) ** 2 + (stays[1] - gone[1]) ** 2 > reach_px**2:
        raise UsageError(f"these {action.channel} signals are more than {reach_px:.0f} px apart: no split signal")


def _detail(action: Action) -> dict[str, object]:
    """Return the parameters of a signal action, which are stored with the state."""
    if not action.kind.startswith("signal"):
        return {}
    names = ("channel", "y_px", "x_px", "number", "added", "into")
    return {"action": {name: value for name in names if (value := getattr(action, name)) is not None}}
