"""Step ``report``: write a patient's result, with its cells and runs, as one HTML file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from sqlmodel import Session, col, select

from cacapp import __version__
from cacapp.db.cells.queries import CellRow, cells
from cacapp.db.engine.session import Database
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow, PatientResult, Run, RunFrame, Slide
from cacapp.exceptions import CacappError
from cacapp.fish.assay.model import Assay
from cacapp.report.html import render_html, render_index
from cacapp.report.patient_page import IndexRow, OtherAssay, PatientReport
from cacapp.report.pictured import FlaggedCell, FrameOverview
from cacapp.report.provenance import AlgorithmUse, FailedFrame, RunProvenance, SourceFile
from cacapp.report.quality import QualityRow, SlideQuality
from cacapp.report.result import Criteria, PatternCount, Probe, SlideSummary, VerdictWords
from cacapp.results.error_budget import budget_of
from cacapp.results.geometry import geometry_of
from cacapp.results.patient import counted_otherwise, numbers, patients_with_results
from cacapp.results.pictures import draw
from cacapp.results.review_outcome import outcome_of
from cacapp.results.slide_quality import GRADES, SlideMarks, quality_of
from cacapp.results.tally import assay_of
from cacapp.runs.files import file_names, write_atomically
from cacapp.runs.plan import MIN_EVALUABLE
from cacapp.runs.progress import Progress, Silent
from cacapp.types import DAPI


def write_reports(db: Database, out: Path, codes: Sequence[str] = (), progress: Progress | None = None) -> list[Path]:
    """Write a page for each patient and assay with a result, and ``index.html``, into the folder ``out``; return the paths, index last.

    The page of a patient's newest result is ``<patient>.html``, that of another assay ``<patient>_<assay>_<version>.html``.

    Raises CacappError where no patient asked for has a result, or the folder cannot be written.
    """
    progress = progress or Silent()
    found = [(p.patient.code, [r for r in p.results if r.count_run_ids]) for p in patients_with_results(db, codes)]
    if not any(results for _, results in found):
        raise CacappError("there is no result to report yet; run: cacapp segment, then cacapp count")
    # the name of a page does not depend on the other patients, requested or added later
    everyone = sorted(patients_with_results(db), key=lambda p: p.patient.id)
    codes_first = [p.patient.code for p in everyone]
    further = [_page(p.patient.code, r, newest=False) for p in everyone for r in p.results[1:]]
    names = file_names([*codes_first, *further])
    rows, paths = [], []
    progress.start("report", sum(len(results) for _, results in found))
    for code, results in found:
        if not results:
            progress.warn(f"patient {code}: nothing counted yet, no report")
        pages = [f"{names[_page(code, result, newest=result is results[0])]}.html" for result in results]
        links = [OtherAssay(r.assay_name, r.assay_version, page) for r, page in zip(results, pages, strict=True)]
        for result, page in zip(results, pages, strict=True):
            report = build_report(db, code, result, progress, [link for link in links if link.href != page])
            path = out / page
            write_atomically(path, render_html(report).encode())
            paths.append(path)
            rows.append(IndexRow(code, page, result.assay, report.verdict, report.result, report.criteria.verdicts, report.review))
            progress.advance(code)
    index = out / "index.html"
    write_atomically(index, render_index(rows).encode())
    return [*paths, index]


def _page(code: str, result: PatientResult, *, newest: bool) -> str:
    """Return the text that a page is named after; a code alone is never that of another patient's further assay."""
    return code if newest else f"{code}_{result.assay_name}_{result.assay_version}"


def build_report(db: Database, code: str, result: PatientResult, progress: Progress, others: Sequence[OtherAssay] = ()) -> PatientReport:
    """Collect all that the page of a patient's result shows, and draw its pictures.

    A frame whose file is gone or changed loses its pictures only, with a warning. ``others``: the patient's results by other assays.

    Raises CacappError for a result without counts.
    """
    if not result.count_run_ids:
        raise CacappError(f"patient {code} has no result yet; run: cacapp count --patient {code}")
    with db.reading() as session:
        counted = [session.get_one(Run, i) for i in result.count_run_ids]
        assay = assay_of(counted[0])
        criteria = _criteria(assay, session.get_one(Run, result.run_id))
        slides = {s.id: s for s in session.exec(select(Slide).where(Slide.patient_id == result.patient_id))}
        machine = [row for run in counted for row in cells(session, run_id=run.id)]
        outcome = outcome_of(session, result)
        rows = [outcome.applied(row) for row in machine]
        failed = _failed_frames(session, slides, counted)
        frames = list(
            session.exec(select(FrameRow).where(col(FrameRow.slide_id).in_(slides)).order_by(col(FrameRow.slide_id), col(FrameRow.name)))
        )
        files = tuple(
            SourceFile(slides[f.slide_id].barcode, Path(uri).name, uri, sha, f"{f.reader} ({f.reader_version})" if f.reader else "")
            for f in frames
            for uri, sha in sorted({(c.uri, c.sha256) for c in frame_source(session, f).channels})
        )
        budget = budget_of(session, result)
        quality = tuple(_quality(s) for s in quality_of(session, result))
        geometry = tuple(geometry_of(session, run.id) for run in counted)
        provenance = tuple(_provenance(session, run, slides) for run in counted)
    flagged = {row.cell_id for row in machine if row.evaluable and (row.is_cac or row.needs_review)}
    shown = [row for row in rows if (row.evaluable and (row.is_cac or row.needs_review)) or row.cell_id in flagged]
    pixel_size = {f.id: f.pixel_size_um for f in frames}
    report = PatientReport(
        patient_code=code,
        created_at=datetime.now(UTC),
        app_version=__version__,
        verdict=outcome.reviewed.verdict,
        verdict_without_polyploid=outcome.reviewed.verdict_without_polyploid,
        criteria=criteria,
        result=outcome.numbers(numbers(result)),
        slides=tuple(_slide_summary(s, rows, frames, failed) for s in slides.values()),
        patterns=_patterns(rows, assay),
        flagged=tuple(replace(_flagged(row, assay, pixel_size[row.frame_id]), reviewed=outcome.words(row.cell_id)) for row in shown),
        frames=tuple(_overview(f, slides, rows) for f in frames),
        failed_frames=failed,
        provenance=tuple(p for pair in provenance for p in pair),
        files=files,
        budget=budget.known,
        controls_left_out=len(budget.left_out),
        quality=quality,
        geometry=geometry,
        review=outcome.summary(numbers(result), result.verdict),
        others=tuple(others),
    )
    pictures, overviews, contrast = draw(db, report, rows, frames, slides, progress, outcome.states)
    return replace(
        report,
        flagged=tuple(replace(c, pictures=pictures.get(c.cell_id, {})) for c in report.flagged),
        frames=tuple(replace(f, picture=overviews.get((f.slide, f.frame))) for f in report.frames),
        contrast=contrast,
    )


def _quality(slide: SlideMarks) -> SlideQuality:
    """Return a slide's quality as a table, a row for each channel, DAPI first."""
    measures = tuple(dict.fromkeys(m.measure for m in slide.marks if m.value is not None))
    rows = []
    for channel in dict.fromkeys(m.channel for m in slide.marks):
        own = {m.measure: m for m in slide.marks if m.channel == channel}
        worst = max((m.verdict for m in own.values()), key=lambda v: GRADES[v])
        rows.append(QualityRow(channel or "slide", tuple(own[m].value if m in own else None for m in measures), worst))
    rows.sort(key=lambda r: (r.channel == "slide", r.channel != DAPI))
    return SlideQuality(slide.slide, slide.verdict, tuple(slide.problems), measures, tuple(rows))


def _criteria(assay: Assay, run: Run) -> Criteria:
    minimum = run.params.get(MIN_EVALUABLE) or assay.patient.min_evaluable_cells
    words = assay.patient.verdicts
    return Criteria(
        assay.name,
        assay.version,
        tuple(Probe(p.channel, p.locus, p.copies, p.min_snr) for p in assay.probes),
        tuple((c.name, c.description) for c in assay.classes),
        assay.patient.threshold_per_100ul,
        int(minimum),
        assay.patient.confidence,
        VerdictWords(words.increased, words.not_increased, words.insufficient, words.undetermined, words.equivocal),
    )


def _counts(row: CellRow, assay: Assay) -> dict[str, int]:
    """Return the copies by probe, in the order of the assay."""
    return {channel: row.counts[channel] for channel in assay.channels if channel in row.counts}


def _flagged(row: CellRow, assay: Assay, pixel_size_um: float | None) -> FlaggedCell:
    return FlaggedCell(
        cell_id=row.cell_id,
        slide=row.slide,
        frame=row.frame,
        label=row.label,
        y_px=row.y,
        x_px=row.x,
        class_name=row.class_,
        subtype=row.subtype,
        is_cac=row.is_cac,
        counts=_counts(row, assay),
        needs_review=row.needs_review,
        review_reason=row.review_reason,
        margin=row.margin,
        p_cac=row.p_cac,
        p_terms=row.p_terms,
        area_um2=row.area_px * pixel_size_um**2 if pixel_size_um else None,
    )


def _patterns(rows: Sequence[CellRow], assay: Assay) -> tuple[PatternCount, ...]:
    seen = Counter(("-".join(map(str, _counts(row, assay).values())), row.class_) for row in rows if row.evaluable)
    return tuple(PatternCount(pattern, n, name) for (pattern, name), n in seen.items())


def _slide_summary(slide: Slide, rows: Sequence[CellRow], frames: Sequence[FrameRow], failed: Sequence[FailedFrame]) -> SlideSummary:
    own = [r for r in rows if r.slide == slide.barcode]
    evaluable = [r for r in own if r.evaluable]
    return SlideSummary(
        slide.barcode,
        slide.blood_volume_ul,
        sum(f.slide_id == slide.id for f in frames),
        sum(f.slide == slide.barcode for f in failed),
        len(own),
        len(evaluable),
        sum(r.is_cac for r in evaluable),
    )


def _overview(frame: FrameRow, slides: dict[int, Slide], rows: Sequence[CellRow]) -> FrameOverview:
    own = [r for r in rows if r.frame_id == frame.id]
    evaluable = [r for r in own if r.evaluable]
    return FrameOverview(slides[frame.slide_id].barcode, frame.name, len(own), len(evaluable), sum(r.is_cac for r in evaluable))


def _failed_frames(session: Session, slides: dict[int, Slide], counted: Sequence[Run]) -> tuple[FailedFrame, ...]:
    """Return every frame of the patient that the result lacks, with the reason."""
    errors: dict[int, str] = defaultdict(lambda: "not segmented and counted yet")
    runs = [run_id for run in counted for run_id in (run.source_run_id, run.id)]
    done: set[int] = set()
    for line in session.exec(select(RunFrame).where(col(RunFrame.run_id).in_(runs))):
        if line.error:
            errors[line.frame_id] = line.error
        if line.status == "done" and line.run_id in {run.id for run in counted}:
            done.add(line.frame_id)
    otherwise = counted_otherwise(session, list(slides), cast(str, counted[0].assay_toml))
    frames = session.exec(select(FrameRow).where(col(FrameRow.slide_id).in_(slides)).order_by(col(FrameRow.name)))
    return tuple(
        FailedFrame(
            slides[f.slide_id].barcode,
            f.name,
            f"counted with another assay, {other}" if (other := otherwise.get(f.slide_id)) else errors[f.id],
        )
        for f in frames
        if f.id not in done
    )


def _provenance(session: Session, run: Run, slides: dict[int, Slide]) -> tuple[RunProvenance, ...]:
    source = session.get(Run, run.source_run_id) if run.source_run_id else None
    return tuple(
        RunProvenance(
            run_id=one.id,
            step=one.step,
            slide=slides[one.slide_id].barcode,
            status=one.status,
            started_at=one.started_at,
            finished_at=one.finished_at,
            app_version=one.app_version,
            device=one.device,
            seed=one.seed,
            fingerprint=one.fingerprint,
            algorithms=tuple(AlgorithmUse(**record) for record in one.algorithms.get("chosen", [])),
            params=one.params,
            assay=f"{one.assay_name} {one.assay_version}" if one.assay_name else None,
        )
        for one in (source, run)
        if one is not None
    )
