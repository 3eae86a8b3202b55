"""Results after review: the decisions that a viewer may see, the valid ones among them, and the patient's result that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session

from cacapp.db.cells.states import flagged_counts, machine_states
from cacapp.db.review.readings import readings, sign_offs, valid_reviews
from cacapp.db.review.tables import Reading, Review
from cacapp.db.tables import PatientResult, Run, Slide
from cacapp.fish.assay.model import Assay
from cacapp.fish.patient import PatientOutcome, SlideTally, patient_result
from cacapp.fish.review import State, reviewed_tally
from cacapp.results.tally import assay_of, tally_runs
from cacapp.runs.plan import MIN_EVALUABLE

OFFICIAL = ("adjudication", "first")
"""Whose decision holds, most binding first, once nobody reads blind any more."""

Tallies = dict[int, SlideTally]
"""Count run to its tally. That of a finished run never changes, so a server keeps them."""


@dataclass(frozen=True, slots=True)
class View:
    """The part of a count run's reviews that a person may see.

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
    """Return the view of a person on a run with these readings; ``viewer`` None is the report.

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


def valid_in_view(session: Session, run_id: int, view: View) -> dict[int, Review]:
    """Return cell id to the review that is valid in this view."""
    found: dict[int, Review] = {}
    for position in reversed(view.holds):
        found |= valid_reviews(session, run_id, position)
    return found


def state_of(review: Review) -> State:
    """Return the state after a review."""
    return State.of_record(review.after)


def anyone_reviewed(session: Session, result: PatientResult) -> bool:
    """Return whether a person has read one of the result's counts, or signed the result."""
    signed = any(signature.run_id == result.run_id for signature, _ in sign_offs(session, result.patient_id))
    return signed or bool(readings(session, result.count_run_ids))


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
    """A slide's part: CACs by the software and after review, cells decided, changed and open."""

    run_id: int
    automatic: SlideTally
    reviewed: SlideTally
    flagged: int
    decided: int
    changed: int
    open: int
    view: View


def review_slide(session: Session, run: Run, assay: Assay, viewer: str | None, tallies: Tallies | None = None) -> SlideReview:
    """Tally a slide before and after review, as the viewer may see it."""
    run_id = run.id
    view = view_of(readings(session, [run_id]).get(run_id, []), viewer)
    tallies = {} if tallies is None else tallies
    if run_id not in tallies:
        tallies[run_id] = tally_runs(session, [run_id], assay)
    machine = replace(tallies[run_id], blood_volume_ul=session.get_one(Slide, run.slide_id).blood_volume_ul)
    now = {cell_id: state_of(review) for cell_id, review in valid_in_view(session, run_id, view).items()}
    was = machine_states(session, run_id, list(now))
    changes = [(was[c], now[c]) for c in now if c in was]
    flagged = flagged_counts(session, [run_id]).get(run_id, 0)
    decided = sum(state.decided for _, state in changes)
    seen = sum(state.decided and before.flagged for before, state in changes)
    changed = sum(state.label != before.label for before, state in changes)
    return SlideReview(run_id, machine, reviewed_tally(machine, changes, assay), flagged, decided, changed, flagged - seen, view)


def review_patient(session: Session, result: PatientResult, viewer: str | None = None, tallies: Tallies | None = None) -> Reviewed:
    """Compute a patient's result before and after review."""
    runs = [session.get_one(Run, run_id) for run_id in result.count_run_ids]
    if not runs:
        newest = session.get_one(Run, result.run_id)
        empty = patient_result([], assay_of(newest))
        return Reviewed(empty, empty, 0, 0, 0, {})
    assay = assay_of(runs[0])
    minimum = session.get_one(Run, result.run_id).params.get(MIN_EVALUABLE)
    per_slide = {run.slide_id: review_slide(session, run, assay, viewer, tallies) for run in runs}
    slides = per_slide.values()
    return Reviewed(
        patient_result([s.automatic for s in slides], assay, min_evaluable_cells=minimum),
        patient_result([s.reviewed for s in slides], assay, min_evaluable_cells=minimum),
        sum(s.decided for s in slides),
        sum(s.changed for s in slides),
        sum(s.open for s in slides),
        per_slide,
    )
