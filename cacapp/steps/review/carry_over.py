"""Step ``carry over``: copy reviews of an earlier count run to the same nuclei of the latest one; a person decides on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from sqlalchemy import func, select
from sqlmodel import Session, col

from cacapp.arrays import rle
from cacapp.arrays.agreement import SAME_NUCLEUS_IOU
from cacapp.arrays.overlap import intersections
from cacapp.db.cells.places import Place, places
from cacapp.db.cells.states import called_cells, dots_of_cells, machine_states
from cacapp.db.engine.session import Database
from cacapp.db.review.chain import append
from cacapp.db.review.readings import NOT_CARRIED, readings, reviews, valid_reviews, write_event
from cacapp.db.review.tables import Reading, Review
from cacapp.db.tables import FrameRow, Run, Slide
from cacapp.exceptions import UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.review import AddedSignal, Dot, State, counts_now
from cacapp.results.reviewed import OFFICIAL, state_of
from cacapp.results.tally import assay_of
from cacapp.steps.review.decide import ConflictError, require_open
from cacapp.types import Instance

CARRIED = "carried"


@dataclass(frozen=True, slots=True)
class Match:
    """A reviewed cell of the earlier run and the same nucleus in the new run.

    Attributes:
        review: the decision. new_cell: the nucleus with the largest IoU, None below SAME_NUCLEUS_IOU.
        state: the state to carry over; None if a person has to decide.
        problem: why a person has to decide; None otherwise.
    """

    review: Review
    new_cell: int | None
    iou: float
    state: State | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class CarryOver:
    """Reviews of an earlier run for a new count run: ``ready`` fit as they are, for ``asked`` a person has to decide."""

    from_run: int
    to_run: int
    ready: tuple[Match, ...]
    asked: tuple[Match, ...]


def plan_carry_over(session: Session, run: Run) -> CarryOver | None:
    """Return the reviews of an earlier count run that this run does not have yet; None if there are none."""
    run_id = run.id
    earlier = select(func.max(col(Review.run_id))).join(Run, col(Run.id) == col(Review.run_id))
    earlier = earlier.where(col(Run.slide_id) == run.slide_id, col(Review.run_id) < run_id, col(Review.kind).not_in((NOT_CARRIED,)))
    from_run: int | None = session.execute(earlier).scalar_one()
    if from_run is None:
        return None
    decided: dict[int, Review] = {}
    for position in reversed(OFFICIAL):
        decided |= valid_reviews(session, from_run, position)
    here = reviews(session, [run_id])
    done = {r.after.get("carried", {}).get("review") for r in here if r.kind in (CARRIED, NOT_CARRIED)}
    waiting = [r for r in decided.values() if state_of(r).decided and r.id not in done]
    if not waiting:
        return None
    touched = {r.cell_id for r in here if r.kind not in (CARRIED, NOT_CARRIED)}
    matches = _matches(session, run, waiting, touched)
    if not matches:
        return None
    return CarryOver(from_run, run_id, tuple(m for m in matches if m.problem is None), tuple(m for m in matches if m.problem is not None))


def carry_over(db: Database, run_id: int, reviewer: str, address: str = "") -> CarryOver:
    """Write the reviews that fit as rows of the new run; return them and those that a person has to decide.

    Raises:
        ConflictError: the run is not the slide's latest count, its result is signed, or its second reading has begun.
    """
    with db.session() as session:
        run = session.get(Run, run_id)
        if run is None or run.step != "count":
            raise UsageError(f"there is no count run {run_id}")
        require_open(session, run)
        if any(r.position != "first" for r in readings(session, [run_id]).get(run_id, [])):
            raise ConflictError("the first reading of this run is closed")
        plan = plan_carry_over(session, run)
        if plan is None:
            return CarryOver(run_id, run_id, (), ())
        if session.get(Reading, (run_id, reviewer)) is None:
            session.add(Reading(run_id=run_id, reviewer=reviewer, position="first"))
        machine = machine_states(session, run_id, [cast(int, m.new_cell) for m in plan.ready])
        for match in plan.ready:
            _write(session, run_id, reviewer, cast(int, match.new_cell), machine, match)
        slide = session.get_one(Slide, run.slide_id).barcode
        write_event(session, reviewer, "carried over", f"slide {slide}", address, run=run_id, from_run=plan.from_run, cells=len(plan.ready))
        return plan


def leave_behind(db: Database, run_id: int, review_id: int, reviewer: str, reason: str, address: str = "") -> None:
    """Record that a review stays with the earlier run, for a reason. Raises ConflictError if it does not wait for a decision."""
    if not reason.strip():
        raise UsageError("say why the review is left behind")
    with db.session() as session:
        run = session.get(Run, run_id)
        if run is None or run.step != "count":
            raise UsageError(f"there is no count run {run_id}")
        require_open(session, run)
        plan = plan_carry_over(session, run)
        match = next((m for m in (plan.asked if plan else ()) if m.review.id == review_id), None)
        if match is None:
            raise ConflictError("this review is not waiting for a decision any more")
        state = state_of(match.review).record()
        source = {"review": review_id, "run": match.review.run_id, "reviewer": match.review.reviewer}
        append(
            session,
            Review(
                cell_id=match.review.cell_id,
                run_id=run_id,
                reviewer=reviewer,
                kind=NOT_CARRIED,
                before=state,
                after=state | {"carried": source},
                reason=reason.strip(),
            ),
        )
        write_event(session, reviewer, "review left behind", f"cell {match.review.cell_id}", address, run=run_id, review=review_id)


def _write(session: Session, run_id: int, reviewer: str, cell_id: int, machine: Mapping[int, State], match: Match) -> None:
    source = {"review": match.review.id, "run": match.review.run_id, "reviewer": match.review.reviewer, "iou": round(match.iou, 3)}
    append(
        session,
        Review(
            cell_id=cell_id,
            run_id=run_id,
            reviewer=reviewer,
            kind=CARRIED,
            before=machine[cell_id].record(),
            after=cast(State, match.state).record() | {"carried": source},
            reason=f"carried over from run {match.review.run_id}: decided by {match.review.reviewer}, IoU {match.iou:.2f}",
        ),
    )


def _matches(session: Session, run: Run, waiting: Sequence[Review], touched: set[int]) -> list[Match]:
    run_id, assay = run.id, assay_of(run)
    calls = called_cells(session, run_id)
    old = places(session, [r.cell_id for r in waiting])
    frames = {p.frame_id for p in old.values()}
    new = places(session, [c.cell_id for c in calls if c.frame_id in frames])
    best = _match(list(old.values()), list(new.values()))
    partners = [b[0] for b in best.values()]
    machine = machine_states(session, run_id, partners)
    new_dots = dots_of_cells(session, run_id, partners)
    old_dots = dots_of_cells(session, cast(int, waiting[0].run_id), list(old))
    pixel = {f: session.get_one(FrameRow, f).pixel_size_um for f in frames}
    found = []
    for review in sorted(waiting, key=lambda r: r.cell_id):
        cell, iou = best.get(review.cell_id, (None, 0.0))
        if cell is None:
            found.append(Match(review, None, iou, None, "no nucleus of the new run is the same"))
            continue
        if cell in touched:  # decided again in the new run
            continue
        was = state_of(review)
        reach_px = assay.signals.signal_diameter_px(pixel[old[review.cell_id].frame_id])
        state, problem = _carried(was, machine[cell], old_dots[review.cell_id], new_dots[cell], assay, reach_px)
        found.append(Match(review, cell, iou, state, problem))
    return found


def _match(old: Sequence[Place], new: Sequence[Place]) -> dict[int, tuple[int, float]]:
    """Match nuclei: old cell id to (new cell id, IoU) from SAME_NUCLEUS_IOU on; with an IoU over 0.5 the match is unique."""
    result: dict[int, tuple[int, float]] = {}
    for frame in {p.frame_id for p in old}:
        ours, theirs = [p for p in old if p.frame_id == frame], [p for p in new if p.frame_id == frame]
        both = [Instance(p.bbox_xywh, rle.decode(p.mask, p.bbox_xywh[3], p.bbox_xywh[2]), 1.0) for p in (*ours, *theirs)]
        area = [int(np.count_nonzero(i.mask)) for i in both]
        for i, j, shared in intersections(both):
            if i < len(ours) <= j:
                iou = shared / (area[i] + area[j] - shared)
                known = result.get(ours[i].cell_id, (0, 0.0))
                if iou >= SAME_NUCLEUS_IOU and iou > known[1]:
                    result[ours[i].cell_id] = (theirs[j - len(ours)].cell_id, iou)
    return result


def _carried(
    was: State, now: State, old: Sequence[Dot], new: Sequence[Dot], assay: Assay, reach_px: float
) -> tuple[State | None, str | None]:
    """Apply the old decision to the new nucleus by its added and removed signals; return the state, or why the counts differ."""
    added, removed = [], []
    counts = dict(now.counts)
    for signal in was.added:
        dot = _nearest(new, signal.channel, signal.y_px, signal.x_px, reach_px)
        if dot is not None and counts_now(now, dot):
            continue  # the software counts it now
        number = None if dot is None else dot.number
        added.append(AddedSignal(signal.channel, signal.y_px, signal.x_px, number))
        counts[signal.channel] = counts.get(signal.channel, 0) + 1
    by_number = {(d.channel, d.number): d for d in old}
    for channel, number in was.removed:
        place = by_number.get((channel, number))
        dot = None if place is None else _nearest(new, channel, place.y_px, place.x_px, reach_px)
        if dot is not None and counts_now(now, dot) and (channel, dot.number) not in removed:
            removed.append((channel, dot.number))
            counts[channel] -= 1
    if was.evaluable and any(counts.get(c, 0) != was.counts.get(c, 0) for c in assay.channels):
        pattern = ["-".join(str(n.get(c, 0)) for c in assay.channels) for n in (was.counts, counts)]
        return None, f"its signals are {pattern[1]} now and were {pattern[0]} when it was decided"
    return replace(was, counts=counts, added=tuple(added), removed=tuple(removed)), None


def _nearest(dots: Sequence[Dot], channel: str, y_px: float, x_px: float, reach_px: float) -> Dot | None:
    near = [(float(np.hypot(d.y_px - y_px, d.x_px - x_px)), d.number, d) for d in dots if d.channel == channel]
    closest = min(near, default=None)
    return closest[2] if closest is not None and closest[0] <= reach_px else None
