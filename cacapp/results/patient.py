"""The patients' results, added up from the latest count of each of their slides."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from cacapp.db.cells.calls import lock_patients, write_patient_result
from cacapp.db.engine.session import Database
from cacapp.db.queries import PatientSummary, call_totals, latest_run_ids, patients, signal_totals
from cacapp.db.tables import FrameRow, Patient, PatientResult, Run, RunFrame, Slide
from cacapp.exceptions import UsageError
from cacapp.fish.assay.model import Assay
from cacapp.fish.patient import SlideTally, patient_result
from cacapp.report.result import ResultNumbers
from cacapp.runs.plan import MIN_EVALUABLE


def refresh_results(session: Session, run_ids: Sequence[int], assay: Assay, min_evaluable_cells: int | None) -> list[str]:
    """Writes the result of every patient whose slides the count runs ``run_ids`` belong to, and the limit used with it.

    Only counts made with this very assay are added up; frames of slides counted otherwise, or not yet, are among ``frames_failed``.

    Returns:
        A warning for each patient with slides counted with another assay.
    """
    newest: dict[int, int] = {}
    for run_id in run_ids:
        slide = session.get_one(Slide, session.get_one(Run, run_id).slide_id)
        newest[slide.patient_id] = max(run_id, newest.get(slide.patient_id, 0))
    lock_patients(session, newest)
    return [line for patient, run_id in newest.items() for line in _refresh(session, patient, run_id, assay, min_evaluable_cells)]


def counted_otherwise(session: Session, slide_ids: Sequence[int], assay_toml: str) -> dict[int, str]:
    """Slide id to "name version" of the assay of its latest count, for the slides where that is another one."""
    latest = (session.get_one(Run, run_id) for run_id in latest_run_ids(session, "count", slide_ids).values())
    return {run.slide_id: f"{run.assay_name} {run.assay_version}" for run in latest if run.assay_toml != assay_toml}


def _refresh(session: Session, patient_id: int, newest: int, assay: Assay, min_evaluable_cells: int | None) -> list[str]:
    slides = {s.id: s for s in session.exec(select(Slide).where(Slide.patient_id == patient_id))}
    counted = latest_run_ids(session, "count", list(slides))
    otherwise = counted_otherwise(session, list(slides), assay.toml())
    same = {s: r for s, r in counted.items() if s not in otherwise}
    # The newest of all its counts, so that what is asked for last is what is shown.
    run_id = max(counted.values(), default=newest)
    run = session.get_one(Run, run_id)
    kept = {name: value for name, value in run.params.items() if name != MIN_EVALUABLE}
    run.params = kept if min_evaluable_cells is None else kept | {MIN_EVALUABLE: min_evaluable_cells}
    tallies = []
    for slide_id, count_run in same.items():
        totals = call_totals(session, [count_run])
        tallies.append(
            SlideTally(
                totals.classes,
                totals.exclusions,
                totals.needs_review,
                totals.cacs,
                totals.cacs_balanced_polyploid,
                slides[slide_id].blood_volume_ul,
                {} if assay.ratio is None else signal_totals(session, [count_run]),
            )
        )
    result = patient_result(tallies, assay, min_evaluable_cells=min_evaluable_cells)
    frames = session.exec(select(func.count()).select_from(FrameRow).where(col(FrameRow.slide_id).in_(slides))).one()
    done = session.exec(
        select(func.count()).select_from(RunFrame).where(col(RunFrame.run_id).in_(same.values()), RunFrame.status == "done")
    ).one()
    write_patient_result(
        session,
        PatientResult(
            run_id=run_id,
            patient_id=patient_id,
            count_run_ids=sorted(same.values()),
            cells=result.cells,
            evaluable=result.evaluable,
            classes=result.classes,
            exclusions=result.exclusions,
            needs_review=result.needs_review,
            cacs=result.cacs,
            cacs_balanced_polyploid=result.cacs_balanced_polyploid,
            blood_volume_ul=result.blood_volume_ul,
            cacs_per_100ul=result.cacs_per_100ul,
            cacs_per_100ul_low=result.cacs_per_100ul_low,
            cacs_per_100ul_high=result.cacs_per_100ul_high,
            verdict=result.verdict,
            verdict_without_polyploid=result.verdict_without_polyploid,
            ratio=None if result.ratio is None else result.ratio.record(),
            frames=frames,
            frames_failed=frames - done,
        ),
    )
    if not otherwise:
        return []
    code = session.get_one(Patient, patient_id).code
    listed = ", ".join(f"{slides[slide].barcode} ({other})" for slide, other in otherwise.items())
    ours = f"{assay.name} {assay.version}"
    return [f"patient {code}: not in the result, for counted with another assay than {ours}: slide {listed}; count them alike with --assay"]


def patients_with_results(db: Database, codes: Sequence[str] = ()) -> list[PatientSummary]:
    """The patients named, or all; each with its latest result or None. Raises UsageError for an unknown code."""
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
    """A stored result as the pages show it."""
    return ResultNumbers(**{name: getattr(result, name) for name in ResultNumbers.__dataclass_fields__})
