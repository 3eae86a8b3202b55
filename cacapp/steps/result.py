"""The patients' results, added up from the latest count of each of their slides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import func
from sqlmodel import Session, col, select

from cacapp.db.calls import write_patient_result
from cacapp.db.queries import call_totals, latest_run_ids
from cacapp.db.tables import FrameRow, PatientResult, Run, RunFrame, Slide
from cacapp.fish.assay import Assay
from cacapp.fish.patient import SlideTally, patient_result


def refresh_results(session: Session, run_ids: Sequence[int], assay: Assay, min_evaluable_cells: int | None) -> None:
    """Writes the result of every patient whose slides the count runs ``run_ids`` belong to.

    Only counts made with this very assay are added up; frames of slides counted otherwise, or not yet, are among ``frames_failed``.
    """
    newest: dict[int, int] = {}
    for run_id in run_ids:
        slide = session.get_one(Slide, session.get_one(Run, run_id).slide_id)
        newest[slide.patient_id] = max(run_id, newest.get(slide.patient_id, 0))
    for patient_id, run_id in newest.items():
        _refresh(session, patient_id, run_id, assay, min_evaluable_cells)


def _refresh(session: Session, patient_id: int, run_id: int, assay: Assay, min_evaluable_cells: int | None) -> None:
    slides = {cast(int, s.id): s for s in session.exec(select(Slide).where(Slide.patient_id == patient_id))}
    counted = latest_run_ids(session, "count", list(slides))
    same = {s: r for s, r in counted.items() if session.get_one(Run, r).assay_toml == assay.toml()}
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
            frames=frames,
            frames_failed=frames - done,
        ),
    )
