"""What stands after review: whose decisions a viewer may see, which of them hold, and the patient's result that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from sqlmodel import Session

from cacapp.db.cells.states import flagged_counts, machine_states
from cacapp.db.queries import CallTotals, call_totals, signal_totals
from cacapp.db.review.readings import last_of_cells, readings
from cacapp.db.review.tables import Reading, Review
from cacapp.db.tables import PatientResult, Run, Slide
from cacapp.fish.assay.model import Assay
from cacapp.fish.assay.read import parse_assay
from cacapp.fish.patient import PatientOutcome, SlideTally, patient_result
from cacapp.fish.review import State, reviewed_tally
from cacapp.runs.plan import MIN_EVALUABLE

OFFICIAL = ("adjudication", "first")
"""Whose decision holds, most binding first, once nobody reads blind any more."""

Totals = dict[int, tuple[CallTotals, dict[str, int]]]
"""What count runs added up to; a finished run's sums never change, so a server keeps them."""


@dataclass(frozen=True, slots=True)
class View:
    """What a person may see of a count run's reviews.

    Attributes:
        holds: positions whose decisions make the result they see, most binding first.
        shown: positions whose rows they may read.
        own: the position they decide in; None before their first decision.
        second: "none", "open" or "finished".
    """

    holds: tuple[str, ...]
    shown: tuple[str, ...]
    own: str | None
    second: str


def view_of(own: list[Reading], viewer: str | None) -> View:
    """The view of a person on a run with these readings; ``viewer`` None is the report.

    A second reader who has not finished sees nothing of the first reading, and the others nothing of the second one.
    """
    mine = next((r for r in own if r.reviewer == viewer), None)
    position = mine.position if mine else None
    second = [r for r in own if r.position == "second"]
    if not second:
        return View(OFFICIAL, ("first",), position, "none")
    if any(r.finished_at is None for r in second):
        if position == "second":
            return View(("second",), ("second",), position, "open")
        return View(OFFICIAL, ("first",), position, "open")
    return View(OFFICIAL, ("first", "second", "adjudication"), position, "finished")


def standing(session: Session, run_id: int, view: View) -> dict[int, Review]:
    """Cell id to the review that holds in this view."""
    found: dict[int, Review] = {}
    for position in reversed(view.holds):
        found |= last_of_cells(session, run_id, position)
    return found


def state_of(review: Review) -> State:
    """The state a review left."""
    return State.of_record(review.after)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A patient's result, automatic and after review.

    Attributes:
        automatic, reviewed: by the same rules.
        decided: cells a person has decided.
        changed: those among them whose class or evaluability is no longer the software's.
        open: cells that wait for a decision: CAC candidates and uncertain ones.
        per_slide: the slides' shares, by slide id.
    """

    automatic: PatientOutcome
    reviewed: PatientOutcome
    decided: int
    changed: int
    open: int
    per_slide: Mapping[int, SlideReview]


@dataclass(frozen=True, slots=True)
class SlideReview:
    """A slide's share: CACs by the software and after review, cells decided, changed and open."""

    run_id: int
    automatic: SlideTally
    reviewed: SlideTally
    flagged: int
    decided: int
    changed: int
    open: int
    view: View


def assay_of(run: Run) -> Assay:
    """The assay a count run was made with."""
    return parse_assay(cast(str, run.assay_toml), f"run {run.id}")


def review_slide(session: Session, run: Run, assay: Assay, viewer: str | None, totals: Totals | None = None) -> SlideReview:
    """A slide's tallies before and after review, as the viewer may see them."""
    run_id = run.id
    view = view_of(readings(session, [run_id]).get(run_id, []), viewer)
    totals = {} if totals is None else totals
    if run_id not in totals:
        totals[run_id] = (call_totals(session, [run_id]), {} if assay.ratio is None else signal_totals(session, [run_id]))
    sums, signals = totals[run_id]
    slide = session.get_one(Slide, run.slide_id)
    machine = SlideTally(
        sums.classes, sums.exclusions, sums.needs_review, sums.cacs, sums.cacs_balanced_polyploid, slide.blood_volume_ul, signals
    )
    now = {cell_id: state_of(review) for cell_id, review in standing(session, run_id, view).items()}
    was = machine_states(session, run_id, list(now))
    changes = [(was[c], now[c]) for c in now if c in was]
    flagged = flagged_counts(session, [run_id]).get(run_id, 0)
    decided = sum(state.decided for _, state in changes)
    seen = sum(state.decided and before.flagged for before, state in changes)
    changed = sum(state.label != before.label for before, state in changes)
    return SlideReview(run_id, machine, reviewed_tally(machine, changes, assay), flagged, decided, changed, flagged - seen, view)


def review_patient(session: Session, result: PatientResult, viewer: str | None = None, totals: Totals | None = None) -> Reviewed:
    """A patient's result as the software found it and as it stands after review."""
    runs = [session.get_one(Run, run_id) for run_id in result.count_run_ids]
    if not runs:
        newest = session.get_one(Run, result.run_id)
        empty = patient_result([], assay_of(newest))
        return Reviewed(empty, empty, 0, 0, 0, {})
    assay = assay_of(runs[0])
    minimum = session.get_one(Run, result.run_id).params.get(MIN_EVALUABLE)
    per_slide = {run.slide_id: review_slide(session, run, assay, viewer, totals) for run in runs}
    slides = per_slide.values()
    return Reviewed(
        patient_result([s.automatic for s in slides], assay, min_evaluable_cells=minimum),
        patient_result([s.reviewed for s in slides], assay, min_evaluable_cells=minimum),
        sum(s.decided for s in slides),
        sum(s.changed for s in slides),
        sum(s.open for s in slides),
        per_slide,
    )
