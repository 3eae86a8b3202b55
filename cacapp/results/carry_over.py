"""Decisions of earlier counts of a slide for its latest count: which fit the same nucleus, and for which a person has to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import select
from sqlmodel import Session, col

from cacapp.arrays import rle
from cacapp.arrays.agreement import SAME_NUCLEUS_IOU
from cacapp.arrays.overlap import intersections
from cacapp.db.cells.places import Place, places
from cacapp.db.cells.states import called_cells, dots_of_cells, machine_states
from cacapp.db.review.readings import CARRIED, NOT_CARRIED, NOT_DECIDING, reviews, valid_reviews
from cacapp.db.review.tables import Review
from cacapp.db.tables import FrameRow, PatientResult, Run, Slide
from cacapp.fish.assay.model import Assay
from cacapp.fish.review import AddedSignal, Dot, State, counts_now, recounted
from cacapp.report.wording import plural
from cacapp.results.reviewed import OFFICIAL, state_of
from cacapp.results.tally import assay_of
from cacapp.types import Instance


@dataclass(frozen=True, slots=True)
class Match:
    """A decision of an earlier run and the same nucleus in the new run.

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

    def __str__(self) -> str:
        why = f": {self.problem}" if self.problem else ""
        return f"{state_of(self.review).label}, cell {self.review.cell_id} of run {self.review.run_id}, by {self.review.reviewer}{why}"


@dataclass(frozen=True, slots=True)
class CarryOver:
    """Decisions of earlier runs for a new count run: ``ready`` fit as they are, for ``asked`` a person has to decide.

    ``from_run``: the nearest earlier run with one of them.
    """

    from_run: int
    to_run: int
    ready: tuple[Match, ...]
    asked: tuple[Match, ...]


def plan_carry_over(session: Session, run: Run) -> CarryOver | None:
    """Return the decisions of all earlier count runs of the slide that this run does not have yet; None if there are none.

    Of several decisions on one nucleus the one of the nearest run counts; one that was undone there, carried over or left behind is not
    asked about again. A comment is no decision.
    """
    here = reviews(session, [run.id])
    closed = _answered(here)
    waiting: list[Review] = []
    nearer: list[Place] = []
    for run_id in _earlier_runs(session, run):
        decided: dict[int, Review] = {}
        for position in reversed(OFFICIAL):
            decided |= valid_reviews(session, run_id, position)
        closed |= _answered(reviews(session, [run_id]))
        where = places(session, list(decided))
        same = _match(list(where.values()), nearer)
        waiting += [r for r in decided.values() if state_of(r).decided and r.id not in closed and r.cell_id not in same]
        nearer += where.values()
    if not waiting:
        return None
    last = {r.cell_id: r for r in here if r.kind not in (*NOT_DECIDING, CARRIED)}
    matches = _matches(session, run, waiting, {cell_id for cell_id, r in last.items() if state_of(r).decided})
    if not matches:
        return None
    from_run = max(m.review.run_id or 0 for m in matches)
    return CarryOver(from_run, run.id, tuple(m for m in matches if m.problem is None), tuple(m for m in matches if m.problem is not None))


def earlier_decisions(session: Session, result: PatientResult) -> tuple[str, ...]:
    """Return, in words, the decisions of earlier counts that a result's counts lack: their number by slide, and each that does not fit."""
    found: list[str] = []
    for run_id in result.count_run_ids:
        run = session.get_one(Run, run_id)
        plan = plan_carry_over(session, run)
        if plan is not None:
            barcode = session.get_one(Slide, run.slide_id).barcode
            fit, asked = len(plan.ready), len(plan.asked)
            left = f"slide {barcode}: {plural(fit + asked, 'decision')} of earlier counts not carried over yet"
            found.append(f"{left}: {fit} fit the latest count, {asked} need a person (cacapp review)")
            found += [f"slide {barcode}, not carried over: {match}" for match in plan.asked]
    return tuple(found)


def _earlier_runs(session: Session, run: Run) -> list[int]:
    """Return the slide's reviewed count runs before this one, the nearest first."""
    query = select(col(Review.run_id)).join(Run, col(Run.id) == col(Review.run_id)).distinct()
    query = query.where(col(Run.slide_id) == run.slide_id, col(Review.run_id) < run.id, col(Run.step) == "count")
    return sorted(session.execute(query).scalars(), reverse=True)


def _answered(rows: Sequence[Review]) -> set[int | None]:
    """Return the numbers of the decisions that a run's rows carried over or left behind."""
    return {r.after.get("carried", {}).get("review") for r in rows if r.kind in (CARRIED, NOT_CARRIED)}


def _matches(session: Session, run: Run, waiting: Sequence[Review], decided_here: set[int]) -> list[Match]:
    run_id, assay = run.id, assay_of(run)
    calls = called_cells(session, run_id)
    old = places(session, [r.cell_id for r in waiting])
    frames = {p.frame_id for p in old.values()}
    new = places(session, [c.cell_id for c in calls if c.frame_id in frames])
    best = _match(list(old.values()), list(new.values()))
    partners = [b[0] for b in best.values()]
    machine = machine_states(session, run_id, partners)
    new_dots = dots_of_cells(session, run_id, partners)
    old_dots: dict[int, list[Dot]] = {}
    assays: dict[int | None, Assay] = {}
    for earlier in {r.run_id for r in waiting if r.run_id is not None}:
        old_dots |= dots_of_cells(session, earlier, [r.cell_id for r in waiting if r.run_id == earlier])
        assays[earlier] = assay_of(session.get_one(Run, earlier))
    pixel = {f: session.get_one(FrameRow, f).pixel_size_um for f in frames}
    found: list[Match] = []
    taken: dict[int, Review] = {}
    for review in waiting:  # those of the nearest run first
        cell, iou = best.get(review.cell_id, (None, 0.0))
        if cell is None:
            found.append(Match(review, None, iou, None, "no nucleus of the new run is the same"))
            continue
        if cell in decided_here:  # decided again in the new run
            continue
        if cell in taken:
            problem: str | None = f"run {taken[cell].run_id} has a decision on the same nucleus"
            found.append(Match(review, cell, iou, None, problem))
            continue
        taken[cell] = review
        reach_px = assay.signals.signal_diameter_px(pixel[old[review.cell_id].frame_id])
        state, problem = _carried(state_of(review), machine[cell], old_dots[review.cell_id], new_dots[cell], assay, reach_px)
        if state is not None:
            state, problem = _by_assay(state, assays[review.run_id], assay)
        found.append(Match(review, cell, iou, state, problem))
    return sorted(found, key=lambda m: (-(m.review.run_id or 0), m.review.cell_id))


def _by_assay(state: State, then: Assay, now: Assay) -> tuple[State | None, str | None]:
    """Return the state if it means the same by the new run's assay, or why a person has to decide."""
    if not state.evaluable or then.sha256 == now.sha256:
        return state, None
    if state.class_ not in now.class_names:
        return None, f"its class {state.class_} is none of the assay of the new run"
    by_counts, called = recounted(state, then).label, recounted(state, now).label
    if by_counts == state.label != called:  # a class that a person gave whatever the counts stays
        return None, f"its signals made it {state.label} when it was decided, and {called} by the assay of the new run"
    return state, None


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
