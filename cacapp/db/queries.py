"""Queries about slides, runs and patients. They read the latest succeeded runs, unless a run is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlmodel import Session, col

from cacapp.db.runs.ledger import SUCCEEDED, get_run
from cacapp.db.tables import FrameRow, Patient, PatientResult, Run, RunFrame, Slide
from cacapp.exceptions import CacappError, UsageError


@dataclass(frozen=True, slots=True)
class SlideSummary:
    """A slide with its patient's code and its number of frames."""

    slide: Slide
    patient: str
    frames: int


@dataclass(frozen=True, slots=True)
class PatientSummary:
    """A patient with the latest result of each assay, the newest first; ``slides`` and ``frames``: how many were ingested."""

    patient: Patient
    slides: int
    frames: int
    results: tuple[PatientResult, ...] = ()

    @property
    def result(self) -> PatientResult | None:
        """The newest result of all assays; None where nothing is counted yet."""
        return self.results[0] if self.results else None

    @property
    def lines(self) -> tuple[PatientResult | None, ...]:
        """A result for each line of a table; one None where nothing is counted yet."""
        return self.results or (None,)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run with its slide, its patient and its number of frames in each state of the ledger (states without frames are left out)."""

    run: Run
    slide: str
    patient: str
    frames: dict[str, int]


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A frame of a run in the ledger."""

    frame: str
    state: RunFrame


def latest_run(session: Session, slide_id: int, step: str, run_id: int | None = None) -> Run | None:
    """Return the latest succeeded run of a step on a slide, or None; with ``run_id`` that run.

    Raises:
        CacappError: run ``run_id`` is missing, of another slide, or of another step.
    """
    if run_id is not None:
        run = get_run(session, run_id)
        if run.slide_id != slide_id or run.step != step:
            raise CacappError(f"run {run_id} is not a {step} run of this slide; `cacapp runs list` shows them")
        return run
    wanted = (col(Run.slide_id) == slide_id, col(Run.step) == step, col(Run.status).in_(SUCCEEDED))
    found: Run | None = session.execute(select(Run).where(*wanted).order_by(col(Run.id).desc()).limit(1)).scalar_one_or_none()
    return found


def latest_run_ids(session: Session, step: str, slide_ids: Sequence[int], assay_toml: str | None = None) -> dict[int, int]:
    """Return slide id to the number of its latest succeeded run of a step; slides without one are left out.

    Args:
        assay_toml: only runs with exactly this assay.
    """
    query = (
        select(col(Run.slide_id), func.max(col(Run.id)).label("run_id"))
        .where(col(Run.slide_id).in_(slide_ids), col(Run.step) == step, col(Run.status).in_(SUCCEEDED))
        .group_by(col(Run.slide_id))
    )
    if assay_toml is not None:
        query = query.where(col(Run.assay_toml) == assay_toml)
    return {row.slide_id: row.run_id for row in session.connection().execute(query)}


def slides(session: Session, barcodes: Sequence[str] | None = None, patient: str | None = None) -> list[SlideSummary]:
    """Return slides by barcode: all of them, those named, or a patient's.

    Raises:
        UsageError: a barcode or the patient is not in the record.
    """
    frames = select(func.count()).select_from(FrameRow).where(col(FrameRow.slide_id) == col(Slide.id)).scalar_subquery()
    query = select(Slide, col(Patient.code), frames).join(Patient).order_by(col(Slide.barcode))
    if barcodes:
        query = query.where(col(Slide.barcode).in_(barcodes))
    if patient is not None:
        query = query.where(col(Patient.id) == patient_of(session, patient).id)
    found = [SlideSummary(slide, code, count) for slide, code, count in session.execute(query)]
    missing = sorted(set(barcodes or ()) - {summary.slide.barcode for summary in found})
    if missing:
        whose = f" of patient {patient}" if patient is not None else ""
        raise UsageError(f"there is no slide {', '.join(missing)}{whose}; `cacapp ingest` adds slides")
    return found


@dataclass(frozen=True, slots=True)
class Missing:
    """Frames of a slide without latest results; ``run_id`` is the run that explains why."""

    slide: str
    frames: int
    of: int
    run_id: int

    def __str__(self) -> str:
        """ "slide S1: 2 of 12 frames are missing from the results (cacapp runs show 4)" """
        are = "is" if self.frames == 1 else "are"
        return f"slide {self.slide}: {self.frames} of {self.of} frames {are} missing from the results (cacapp runs show {self.run_id})"


def missing_frames(session: Session, barcodes: Sequence[str] | None = None, patient: str | None = None) -> list[Missing]:
    """Return the slides with frames that are missing from their latest count or, without a count, from their segmentation.

    Raises:
        UsageError: a barcode or the patient is not in the record.
    """
    found = {summary.slide.id: summary for summary in slides(session, barcodes, patient) if summary.slide.id is not None}
    counted, segmented = (latest_run_ids(session, step, list(found)) for step in ("count", "segment"))
    query = (
        select(col(RunFrame.run_id), func.count().label("frames"))
        .where(col(RunFrame.run_id).in_({*counted.values(), *segmented.values()}), col(RunFrame.status) == "done")
        .group_by(col(RunFrame.run_id))
    )
    done = {row.run_id: row.frames for row in session.connection().execute(query)}
    missing = []
    for slide_id, run_id in (segmented | counted).items():
        summary, lacking = found[slide_id], found[slide_id].frames - done.get(run_id, 0)
        if lacking > 0:
            source = segmented.get(slide_id, run_id)  # where a frame was lost in segmentation, its count knows nothing of it
            cause = source if done.get(source, 0) < summary.frames else run_id
            missing.append(Missing(summary.slide.barcode, lacking, summary.frames, cause))
    return sorted(missing, key=lambda one: one.slide)


def patient_of(session: Session, code: str) -> Patient:
    """Return the patient with this pseudonym.

    Raises:
        UsageError: there is none.
    """
    patient: Patient | None = session.execute(select(Patient).where(col(Patient.code) == code)).scalar_one_or_none()
    if patient is None:
        raise UsageError(f"there is no patient {code}; `cacapp patients` shows those there are")
    return patient


def patients(session: Session) -> list[PatientSummary]:
    """Return every patient by code with the latest results. Nothing is summed over cells, so it is quick however many there are."""
    slide_count = select(func.count()).select_from(Slide).where(col(Slide.patient_id) == col(Patient.id)).scalar_subquery()
    frame_count = select(func.count()).select_from(FrameRow).join(Slide).where(col(Slide.patient_id) == col(Patient.id)).scalar_subquery()
    results: dict[int, list[PatientResult]] = {}
    for result in latest_results(session):
        results.setdefault(result.patient_id, []).append(result)
    query = select(Patient, slide_count, frame_count).order_by(col(Patient.code))
    found = session.execute(query)
    return [PatientSummary(patient, slides, frames, tuple(results.get(patient.id, ()))) for patient, slides, frames in found]


def latest_results(session: Session, patient_id: int | None = None) -> list[PatientResult]:
    """Return the latest result of each patient (or of one, ``patient_id``) and assay (name and version), the newest first."""
    key = (col(PatientResult.patient_id), col(PatientResult.assay_name), col(PatientResult.assay_version))
    newest = select(key[0], func.max(col(PatientResult.run_id)).label("run_id")).group_by(*key)
    if patient_id is not None:
        newest = newest.where(key[0] == patient_id)
    latest = newest.subquery()
    same = and_(col(PatientResult.run_id) == latest.c.run_id, col(PatientResult.patient_id) == latest.c.patient_id)
    query = select(PatientResult).join(latest, same).order_by(col(PatientResult.run_id).desc())
    return list(session.execute(query).scalars())


def newest_result(session: Session, patient_id: int) -> PatientResult | None:
    """Return the patient's newest result, whatever the assay; None where nothing is counted."""
    return next(iter(latest_results(session, patient_id)), None)


def runs(session: Session, slide: str | None = None, limit: int | None = None) -> list[RunSummary]:
    """Return runs, latest first: all of them or those of a slide.

    Raises:
        UsageError: there is no such slide.
    """
    query = select(Run, col(Slide.barcode), col(Patient.code)).join(Slide, col(Run.slide_id) == col(Slide.id)).join(Patient)
    if slide is not None:
        query = query.where(col(Slide.id) == slides(session, [slide])[0].slide.id)
    found = session.execute(query.order_by(col(Run.id).desc()).limit(limit)).all()
    states: dict[int, dict[str, int]] = {}
    count = (
        select(col(RunFrame.run_id), col(RunFrame.status), func.count())
        .where(col(RunFrame.run_id).in_([run.id for run, _, _ in found]))
        .group_by(col(RunFrame.run_id), col(RunFrame.status))
    )
    for run_id, state, frames in session.execute(count):
        states.setdefault(run_id, {})[state] = frames
    return [RunSummary(run, barcode, code, states.get(run.id or 0, {})) for run, barcode, code in found]


def run_details(session: Session, run_id: int) -> tuple[RunSummary, list[LedgerLine]]:
    """Return a run and its ledger, frames by name.

    Raises:
        CacappError: there is no such run.
    """
    run = get_run(session, run_id)
    ledger = session.execute(
        select(col(FrameRow.name), RunFrame).join(RunFrame).where(col(RunFrame.run_id) == run_id).order_by(col(FrameRow.name))
    )
    lines = [LedgerLine(name, state) for name, state in ledger]
    frames: dict[str, int] = {}
    for line in lines:
        frames[line.state.status] = frames.get(line.state.status, 0) + 1
    slide = session.get_one(Slide, run.slide_id)
    return RunSummary(run, slide.barcode, session.get_one(Patient, slide.patient_id).code, frames), lines


def frames_of_runs(run_ids: Sequence[int]) -> Select[Any]:
    """Select the ids of all frames of the runs' slides: calls are stored in the order of cells, so frames lead to a run's calls."""
    return select(col(FrameRow.id)).where(col(FrameRow.slide_id).in_(select(col(Run.slide_id)).where(col(Run.id).in_(run_ids))))
