"""The patients' results by assay, added up from the latest counts of their slides."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from cacapp.db.cells.calls import lock_patients, write_patient_result
from cacapp.db.engine.session import Database
from cacapp.db.queries import PatientSummary, latest_run_ids, patients
from cacapp.db.tables import FrameRow, Patient, PatientResult, Run, RunFrame, Slide
from cacapp.exceptions import UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.patient import PatientOutcome, patient_result
from cacapp.report.result import ResultNumbers
from cacapp.results.tally import tally_runs
from cacapp.runs.plan import MIN_EVALUABLE

STORED = tuple(name for name in PatientOutcome.__dataclass_fields__ if name in PatientResult.model_fields and name != "ratio")
"""Numbers of an outcome that are columns of the table."""


def refresh_results(session: Session, run_ids: Sequence[int], assay: Assay, min_evaluable_cells: int | None) -> list[str]:
    """Write the result by this assay of every patient whose slides the count runs ``run_ids`` belong to, and the limit used with it.

    Only counts made with this very assay are added up; frames of slides counted otherwise, or not yet, are among ``frames_failed``.
    Results by other assays stay as they are.

    Returns:
        A warning for each patient with slides that were counted with other assays only.
    """
    newest: dict[int, int] = {}
    for run_id in run_ids:
        slide = session.get_one(Slide, session.get_one(Run, run_id).slide_id)
        newest[slide.patient_id] = max(run_id, newest.get(slide.patient_id, 0))
    lock_patients(session, newest)
    return [line for patient, run_id in newest.items() for line in _refresh(session, patient, run_id, assay, min_evaluable_cells)]


def counted_otherwise(session: Session, slide_ids: Sequence[int], assay_toml: str) -> dict[int, str]:
    """Return slide id to "name version" of the assay of its latest count, for slides that were counted, but not with this assay."""
    same = latest_run_ids(session, "count", slide_ids, assay_toml)
    latest = latest_run_ids(session, "count", slide_ids)
    runs = (session.get_one(Run, run_id) for slide_id, run_id in latest.items() if slide_id not in same)
    return {run.slide_id: f"{run.assay_name} {run.assay_version}" for run in runs}


def _refresh(session: Session, patient_id: int, newest: int, assay: Assay, min_evaluable_cells: int | None) -> list[str]:
    slides = {s.id: s for s in session.exec(select(Slide).where(Slide.patient_id == patient_id))}
    counted = latest_run_ids(session, "count", list(slides), assay.toml())
    run_id = max(counted.values(), default=newest)
    run = session.get_one(Run, run_id)
    kept = {name: value for name, value in run.params.items() if name != MIN_EVALUABLE}
    run.params = kept if min_evaluable_cells is None else kept | {MIN_EVALUABLE: min_evaluable_cells}
    tallies = [tally_runs(session, [i], assay, slides[slide_id].blood_volume_ul) for slide_id, i in counted.items()]
    outcome = patient_result(tallies, assay, min_evaluable_cells=min_evaluable_cells)
    frames = session.exec(select(func.count()).select_from(FrameRow).where(col(FrameRow.slide_id).in_(slides))).one()
    done = session.exec(
        select(func.count()).select_from(RunFrame).where(col(RunFrame.run_id).in_(counted.values()), RunFrame.status == "done")
    ).one()
    own = {name: getattr(outcome, name) for name in STORED}
    ratio = None if outcome.ratio is None else outcome.ratio.record()
    write_patient_result(
        session,
        PatientResult(
            **own,
            run_id=run_id,
            patient_id=patient_id,
            assay_name=assay.name,
            assay_version=assay.version,
            count_run_ids=sorted(counted.values()),
            ratio=ratio,
            frames=frames,
            frames_failed=frames - done,
        ),
    )
    otherwise = counted_otherwise(session, list(slides), assay.toml())
    if not otherwise:
        return []
    code = session.get_one(Patient, patient_id).code
    listed = ", ".join(f"{slides[slide].barcode} ({other})" for slide, other in otherwise.items())
    return [
        f"patient {code}: the result by assay {assay.name} {assay.version} leaves out slides that were counted with another assay only: "
        f"{listed}; count them with this one too (--assay)"
    ]


def patients_with_results(db: Database, codes: Sequence[str] = ()) -> list[PatientSummary]:
    """Return the patients named, or all, with their latest results. Raises UsageError for an unknown code."""
    with db.reading() as session:
        found = patients(session)
    known = {p.patient.code: p for p in found}
    missing = [c for c in codes if c not in known]
    if missing:
        raise UsageError(
            f"no patient {missing[0]!r} in the database; it has {', '.join(list(known)[:10]) or 'none yet: see cacapp ingest'}"
        )
    return [known[c] for c in codes] if codes else found


def numbers(result: PatientResult) -> ResultNumbers:
    """Return a stored result as the pages show it."""
    return ResultNumbers(**{name: getattr(result, name) for name in ResultNumbers.__dataclass_fields__})
