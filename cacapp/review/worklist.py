"""Patients and slides with their review state, for the worklist and the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Session, col

from cacapp.db.cells.states import flagged_counts
from cacapp.db.queries import PatientSummary, latest_run_ids, patients
from cacapp.db.review.readings import latest_sign_offs, readings
from cacapp.db.review.tables import Amendment, Reading, SignOff
from cacapp.db.tables import Slide, SlideQuality
from cacapp.results.slide_quality import GRADES
from cacapp.review.authorisation import Visitor
from cacapp.review.blind import may_read_blind
from cacapp.review.context import ReviewContext

INGESTED, ANALYSED, IN_REVIEW, SECOND, SIGNED = STATES = ("ingested", "analysed", "in review", "second review", "signed")


@dataclass(frozen=True, slots=True)
class SlideLine:
    """A slide: its state, quality ("pass", "warn", "fail", None if not measured), and its flagged and open cells."""

    slide_id: int
    barcode: str
    state: str
    qc: str | None
    flagged: int
    open: int
    run_id: int | None
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PatientLine:
    """A patient: CACs before and after review (None before the first decision), rate and verdict after review, and the signer.

    ``hidden``: the numbers after review are left out, for the list must not spoil a blind reading that the person may still do.
    """

    patient_id: int
    code: str
    state: str
    slides: tuple[SlideLine, ...]
    cacs_automatic: int | None
    cacs: int | None
    rate: float | None
    verdict: str | None
    evaluable: int | None
    open: int
    signer: str | None
    hidden: bool


@dataclass(frozen=True, slots=True)
class Worklist:
    """A page of patients. ``total``: patients that match; ``states``: matching patients per state, whatever state was chosen."""

    lines: tuple[PatientLine, ...]
    total: int
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Progress:
    """Latest count run, readings and signatures of all slides and patients."""

    latest: dict[int, int]
    reads: dict[int, list[Reading]]
    signed: dict[int, tuple[SignOff, Amendment | None]]


def worklist(
    session: Session,
    context: ReviewContext,
    visitor: Visitor,
    *,
    search: str = "",
    state: str = "",
    start: int = 0,
    limit: int = 50,
    only: int | None = None,
) -> Worklist:
    """List patients by code: those in ``state``, with ``search`` in their code or a slide's barcode; ``only``: one patient by id."""
    everyone = patients(session)
    slides: dict[int, list[Slide]] = {}
    for slide in session.execute(select(Slide).order_by(col(Slide.barcode))).scalars():
        slides.setdefault(slide.patient_id, []).append(slide)
    ids = [s.id for own in slides.values() for s in own]
    latest = latest_run_ids(session, "count", ids)
    progress = _Progress(latest, readings(session, list(latest.values())), latest_sign_offs(session, [p.patient.id for p in everyone]))
    wanted = search.casefold()
    found = [
        p
        for p in everyone
        if (only is None or p.patient.id == only)
        and (wanted in p.patient.code.casefold() or any(wanted in s.barcode.casefold() for s in slides.get(p.patient.id, [])))
    ]
    of = {p.patient.id: _state(p, slides.get(p.patient.id, []), progress) for p in found}
    states = {name: sum(s == name for s in of.values()) for name in STATES}
    chosen = [p for p in found if not state or of[p.patient.id] == state]
    lines = _lines(session, context, visitor, chosen[start : start + limit], slides, progress, of)
    return Worklist(tuple(lines), len(chosen), states)


def _state(summary: PatientSummary, slides: Sequence[Slide], progress: _Progress) -> str:
    """Return SIGNED for a valid signature, else the least advanced state of the patient's slides."""
    signed = progress.signed.get(summary.patient.id)
    if signed is not None and _is_valid(summary, signed):
        return SIGNED
    own = [slide_state(progress.latest.get(s.id), progress.reads) for s in slides]
    return min(own, key=STATES.index, default=INGESTED)


def _is_valid(summary: PatientSummary, signed: tuple[SignOff, Amendment | None]) -> bool:
    """Return whether a signature is of the current result: no amendment and no newer count came after it."""
    return signed[1] is None and summary.result is not None and signed[0].run_id == summary.result.run_id


def slide_state(run_id: int | None, reads: dict[int, list[Reading]]) -> str:
    """Return the state of a slide without regard to the signature, which belongs to the patient."""
    if run_id is None:
        return INGESTED
    own = reads.get(run_id, [])
    if any(r.position == "second" for r in own):
        return SECOND
    return IN_REVIEW if own else ANALYSED


def _lines(
    session: Session,
    context: ReviewContext,
    visitor: Visitor,
    chosen: Sequence[PatientSummary],
    slides: dict[int, list[Slide]],
    progress: _Progress,
    of: dict[int, str],
) -> list[PatientLine]:
    runs = [progress.latest[s.id] for p in chosen for s in slides.get(p.patient.id, []) if s.id in progress.latest]
    flagged, grades = flagged_counts(session, runs), _grades(session, runs)
    lines = []
    for summary in chosen:
        patient_id = summary.patient.id
        own, result = slides.get(patient_id, []), summary.result
        read = any(progress.reads.get(progress.latest.get(s.id, 0)) for s in own)
        after = context.reviewed(session, result, visitor.name) if result is not None and read else None
        opened = {s.run_id: s.open for s in after.per_slide.values()} if after else {}
        rows = []
        for slide in own:
            run_id = progress.latest.get(slide.id)
            state = SIGNED if of[patient_id] == SIGNED and run_id else slide_state(run_id, progress.reads)
            n = flagged.get(run_id or 0, 0)
            readers = tuple(dict.fromkeys(r.reviewer for r in progress.reads.get(run_id or 0, [])))
            left = opened.get(run_id or 0, n)
            rows.append(SlideLine(slide.id, slide.barcode, state, grades.get(run_id or 0), n, left, run_id, readers))
        signed = progress.signed.get(patient_id)
        hidden = may_read_blind(session, context.looks, patient_id, visitor)
        numbers = None if hidden else after.reviewed if after else result
        lines.append(
            PatientLine(
                patient_id,
                summary.patient.code,
                of[patient_id],
                tuple(rows),
                None if result is None else result.cacs,
                None if after is None or hidden else after.reviewed.cacs,
                None if numbers is None else numbers.cacs_per_100ul,
                None if numbers is None else numbers.verdict,
                None if numbers is None else numbers.evaluable,
                sum(r.open for r in rows),
                signed[0].signer if signed is not None and _is_valid(summary, signed) else None,
                hidden,
            )
        )
    return lines


def _grades(session: Session, run_ids: Sequence[int]) -> dict[int, str]:
    """Return the worst quality verdict of each count run's slide."""
    query = (
        select(col(SlideQuality.run_id), col(SlideQuality.verdict), func.count())
        .where(col(SlideQuality.run_id).in_(run_ids))
        .group_by(col(SlideQuality.run_id), col(SlideQuality.verdict))
    )
    worst: dict[int, str] = {}
    for run_id, verdict, _ in session.execute(query):
        worst[run_id] = max(worst.get(run_id, "pass"), verdict, key=lambda v: GRADES[v])
    return worst
