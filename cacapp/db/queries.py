"""Questions about slides, runs and patients. Each says which runs it read: the latest succeeded ones unless told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel import Session

from cacapp.db.runs.ledger import SUCCEEDED, get_run
from cacapp.db.tables import Cell, CellCall, ChannelRow, FrameRow, Patient, PatientResult, Run, RunFrame, SignalCount, Slide
from cacapp.exceptions import CacappError, UsageError


@dataclass(frozen=True, slots=True)
class SlideSummary:
    """A slide with its patient's code and its number of frames."""

    slide: Slide
    patient: str
    frames: int


@dataclass(frozen=True, slots=True)
class PatientSummary:
    """A patient with the latest result, None where nothing is counted yet; ``slides`` and ``frames`` as ingested."""

    patient: Patient
    slides: int
    frames: int
    result: PatientResult | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run with where it belongs and how many frames are in each state of its ledger (states without frames are left out)."""

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
    """The latest succeeded run of a step on a slide, or None; with ``run_id`` that run.

    Raises:
        CacappError: run ``run_id`` is missing, of another slide, or of another step.
    """
    if run_id is not None:
        run = get_run(session, run_id)
        if run.slide_id != slide_id or run.step != step:
            raise CacappError(f"run {run_id} is not a {step} run of this slide; `cacapp runs list` shows them")
        return run
    wanted = (_c(Run.slide_id) == slide_id, _c(Run.step) == step, _c(Run.status).in_(SUCCEEDED))
    found: Run | None = session.execute(select(Run).where(*wanted).order_by(_c(Run.id).desc()).limit(1)).scalar_one_or_none()
    return found


def latest_run_ids(session: Session, step: str, slide_ids: Sequence[int]) -> dict[int, int]:
    """Slide id to the number of its latest succeeded run of a step; slides without one are left out."""
    query = (
        select(_c(Run.slide_id), func.max(_c(Run.id)).label("run_id"))
        .where(_c(Run.slide_id).in_(slide_ids), _c(Run.step) == step, _c(Run.status).in_(SUCCEEDED))
        .group_by(_c(Run.slide_id))
    )
    return {row.slide_id: row.run_id for row in session.connection().execute(query)}


def slides(session: Session, barcodes: Sequence[str] | None = None, patient: str | None = None) -> list[SlideSummary]:
    """Slides by barcode: all of them, those named, or a patient's.

    Raises:
        UsageError: a barcode or the patient is not in the record.
    """
    frames = select(func.count()).select_from(FrameRow).where(_c(FrameRow.slide_id) == _c(Slide.id)).scalar_subquery()
    query = select(Slide, _c(Patient.code), frames).join(Patient).order_by(_c(Slide.barcode))
    if barcodes:
        query = query.where(_c(Slide.barcode).in_(barcodes))
    if patient is not None:
        query = query.where(_c(Patient.id) == patient_of(session, patient).id)
    found = [SlideSummary(slide, code, count) for slide, code, count in session.execute(query)]
    missing = sorted(set(barcodes or ()) - {summary.slide.barcode for summary in found})
    if missing:
        whose = f" of patient {patient}" if patient is not None else ""
        raise UsageError(f"there is no slide {', '.join(missing)}{whose}; `cacapp ingest` adds slides")
    return found


@dataclass(frozen=True, slots=True)
class Missing:
    """Frames of a slide that its latest results do not hold; ``run_id`` is the run to look at."""

    slide: str
    frames: int
    of: int
    run_id: int

    def __str__(self) -> str:
        """ "slide S1: 2 of 12 frames are missing from the results (cacapp runs show 4)" """
        are = "is" if self.frames == 1 else "are"
        return f"slide {self.slide}: {self.frames} of {self.of} frames {are} missing from the results (cacapp runs show {self.run_id})"


def missing_frames(session: Session, barcodes: Sequence[str] | None = None, patient: str | None = None) -> list[Missing]:
    """Slides whose latest results lack frames: of their count, or where they are not counted, of their segmentation.

    Raises:
        UsageError: a barcode or the patient is not in the record.
    """
    found = {summary.slide.id: summary for summary in slides(session, barcodes, patient) if summary.slide.id is not None}
    counted, segmented = (latest_run_ids(session, step, list(found)) for step in ("count", "segment"))
    query = (
        select(_c(RunFrame.run_id), func.count().label("frames"))
        .where(_c(RunFrame.run_id).in_({*counted.values(), *segmented.values()}), _c(RunFrame.status) == "done")
        .group_by(_c(RunFrame.run_id))
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
    """The patient with this pseudonym.

    Raises:
        UsageError: there is none.
    """
    patient: Patient | None = session.execute(select(Patient).where(_c(Patient.code) == code)).scalar_one_or_none()
    if patient is None:
        raise UsageError(f"there is no patient {code}; `cacapp patients` shows those there are")
    return patient


def patients(session: Session) -> list[PatientSummary]:
    """Every patient by code with the latest result; nothing is summed over cells here, so it is quick however many there are."""
    latest = (
        select(_c(PatientResult.patient_id), func.max(_c(PatientResult.run_id)).label("run_id"))
        .group_by(_c(PatientResult.patient_id))
        .subquery()
    )
    slide_count = select(func.count()).select_from(Slide).where(_c(Slide.patient_id) == _c(Patient.id)).scalar_subquery()
    frame_count = select(func.count()).select_from(FrameRow).join(Slide).where(_c(Slide.patient_id) == _c(Patient.id)).scalar_subquery()
    query = (
        select(Patient, slide_count, frame_count, PatientResult)
        .outerjoin(latest, latest.c.patient_id == _c(Patient.id))
        .outerjoin(PatientResult, and_(_c(PatientResult.run_id) == latest.c.run_id, _c(PatientResult.patient_id) == _c(Patient.id)))
        .order_by(_c(Patient.code))
    )
    return [PatientSummary(*row) for row in session.execute(query)]


def runs(session: Session, slide: str | None = None, limit: int | None = None) -> list[RunSummary]:
    """Runs, latest first: all of them or those of a slide.

    Raises:
        UsageError: there is no such slide.
    """
    query = select(Run, _c(Slide.barcode), _c(Patient.code)).join(Slide, _c(Run.slide_id) == _c(Slide.id)).join(Patient)
    if slide is not None:
        query = query.where(_c(Slide.id) == slides(session, [slide])[0].slide.id)
    found = session.execute(query.order_by(_c(Run.id).desc()).limit(limit)).all()
    states: dict[int, dict[str, int]] = {}
    count = (
        select(_c(RunFrame.run_id), _c(RunFrame.status), func.count())
        .where(_c(RunFrame.run_id).in_([run.id for run, _, _ in found]))
        .group_by(_c(RunFrame.run_id), _c(RunFrame.status))
    )
    for run_id, state, frames in session.execute(count):
        states.setdefault(run_id, {})[state] = frames
    return [RunSummary(run, barcode, code, states.get(run.id or 0, {})) for run, barcode, code in found]


def run_details(session: Session, run_id: int) -> tuple[RunSummary, list[LedgerLine]]:
    """A run and its ledger, frames by name.

    Raises:
        CacappError: there is no such run.
    """
    run = get_run(session, run_id)
    ledger = session.execute(
        select(_c(FrameRow.name), RunFrame).join(RunFrame).where(_c(RunFrame.run_id) == run_id).order_by(_c(FrameRow.name))
    )
    lines = [LedgerLine(name, state) for name, state in ledger]
    frames: dict[str, int] = {}
    for line in lines:
        frames[line.state.status] = frames.get(line.state.status, 0) + 1
    slide = session.get_one(Slide, run.slide_id)
    return RunSummary(run, slide.barcode, session.get_one(Patient, slide.patient_id).code, frames), lines


@dataclass(frozen=True, slots=True)
class CallTotals:
    """Sums over the calls of some count runs; ``classes`` and ``exclusions`` are counts by name, CACs are of evaluable cells."""

    cells: int
    evaluable: int
    needs_review: int
    cacs: int
    cacs_balanced_polyploid: int
    classes: dict[str, int]
    exclusions: dict[str, int]


def call_totals(session: Session, run_ids: Sequence[int]) -> CallTotals:
    """What a patient's result is made of, over the count runs ``run_ids``."""

    def where(*conditions: Any) -> Any:
        return func.coalesce(func.sum(case((and_(*conditions), 1), else_=0)), 0)

    evaluable, is_cac = _c(CellCall.evaluable).is_(True), _c(CellCall.is_cac).is_(True)
    query = select(
        func.count(),
        where(evaluable),
        where(_c(CellCall.needs_review).is_(True)),
        where(evaluable, is_cac),
        where(evaluable, is_cac, _c(CellCall.subtype) == "balanced_polyploid"),
    ).where(*_calls_of(run_ids))
    cells, *sums = (int(value) for value in session.connection().execute(query).one())
    return CallTotals(cells, sums[0], sums[1], sums[2], sums[3], class_counts(session, run_ids), exclusion_counts(session, run_ids))


def class_counts(session: Session, run_ids: Sequence[int]) -> dict[str, int]:
    """Evaluable cells by class, over count runs."""
    return _count_by(session, _c(CellCall.class_), run_ids, evaluable=True)


def exclusion_counts(session: Session, run_ids: Sequence[int]) -> dict[str, int]:
    """Cells that are not evaluable by reason, over count runs."""
    return _count_by(session, _c(CellCall.exclusion_reason), run_ids, evaluable=False)


def _count_by(session: Session, column: InstrumentedAttribute[Any], run_ids: Sequence[int], *, evaluable: bool) -> dict[str, int]:
    name = func.coalesce(column, "unknown").label("name")
    query = (
        select(name, func.count().label("cells"))
        .where(*_calls_of(run_ids), _c(CellCall.evaluable).is_(evaluable))
        .group_by(name)
        .order_by(name)
    )
    return {row.name: row.cells for row in session.connection().execute(query)}


def copy_histograms(session: Session, run_ids: Sequence[int]) -> dict[str, dict[int, int]]:
    """Evaluable cells by probe channel and copies, over count runs: {"red": {2: 940, 3: 12}}."""
    name, n = _c(ChannelRow.name), _c(SignalCount.n)
    query = (
        select(name, n, func.count().label("cells"))
        .select_from(CellCall)
        .join(SignalCount, and_(_c(SignalCount.cell_id) == _c(CellCall.cell_id), _c(SignalCount.run_id) == _c(CellCall.run_id)))
        .join(Cell, _c(Cell.id) == _c(CellCall.cell_id))
        .join(ChannelRow, and_(_c(ChannelRow.frame_id) == _c(Cell.frame_id), _c(ChannelRow.index) == _c(SignalCount.channel)))
        .where(*_calls_of(run_ids), _c(CellCall.evaluable).is_(True))
        .group_by(name, n)
        .order_by(name, n)
    )
    found: dict[str, dict[int, int]] = {}
    for channel, copies, cells in session.connection().execute(query):
        found.setdefault(channel, {})[copies] = cells
    return found


def signal_totals(session: Session, run_ids: Sequence[int]) -> dict[str, int]:
    """Counted signals of the evaluable cells by probe channel, over count runs."""
    return {c: sum(n * cells for n, cells in bins.items()) for c, bins in copy_histograms(session, run_ids).items()}


def frames_of_runs(run_ids: Sequence[int]) -> Select[Any]:
    """The ids of all frames of the runs' slides: calls are stored in the order of cells, so the way to a run's is by its frames."""
    return select(_c(FrameRow.id)).where(_c(FrameRow.slide_id).in_(select(_c(Run.slide_id)).where(_c(Run.id).in_(run_ids))))


def _calls_of(run_ids: Sequence[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    here = select(_c(Cell.id)).where(_c(Cell.frame_id).in_(frames_of_runs(run_ids)))
    return _c(CellCall.run_id).in_(run_ids), _c(CellCall.cell_id).in_(here)


def _c(attribute: Any) -> InstrumentedAttribute[Any]:
    """The column behind a model's attribute, for the type checker."""
    return attribute  # type: ignore[no-any-return]
