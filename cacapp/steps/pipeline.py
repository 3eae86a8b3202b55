"""The order of the steps: ingest, segment, pseudo-label, count, report. Commands and ``cacapp.run_slide`` run them through here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select

from cacapp.db.cells.pseudo_labels import STEP as PSEUDO_LABEL
from cacapp.db.engine.session import Database
from cacapp.db.models import with_model_files
from cacapp.db.queries import latest_run_ids
from cacapp.db.runs.requests import close_request, give_up_request, open_request
from cacapp.db.tables import Slide
from cacapp.engine import Engine
from cacapp.exceptions import CacappError, StorageError
from cacapp.host import Host, read_settings
from cacapp.runs.choice import build_algorithm
from cacapp.runs.progress import Progress, RunReport
from cacapp.runs.request import PipelineRequest
from cacapp.runs.segment_frame import build_algorithms
from cacapp.runs.unfinished import Unfinished
from cacapp.steps.count import count
from cacapp.steps.ingest import IngestReport, ingest
from cacapp.steps.learning.pseudo_label import build_judging_algorithms, pseudo_label
from cacapp.steps.report.write import write_reports
from cacapp.steps.segment import segment
from cacapp.types import DAPI, FrameSource

if TYPE_CHECKING:
    from cacapp.runs.plan import SegmentPlan


@dataclass(slots=True)
class PipelineResult:
    """What the steps did; ``pages`` are the HTML reports, the index last."""

    ingested: list[IngestReport] = field(default_factory=list)
    reports: list[RunReport] = field(default_factory=list)
    pages: list[Path] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Tell whether every file, slide and frame has a result."""
        return not any(i.refused or i.error for i in self.ingested) and not any(r.failed for r in self.reports)

    def require_results(self) -> None:
        """Raise CacappError where every run failed on every one of its frames."""
        lost = [r for r in self.reports if r.frames and not r.done]
        if lost and len(lost) == len(self.reports):
            name, error = lost[0].failed[0]
            raise CacappError(f"{lost[0].step} of slide {lost[0].slide} failed on every frame; first {name}: {error}")


def run_pipeline(db: Database, host: Host, request: PipelineRequest, engine: Engine, progress: Progress) -> PipelineResult:
    """Record the request and run its steps.

    Ctrl-C, a crash or a full disk leaves the request open for ``cacapp runs resume``; one that cannot be done is closed as failed.

    Raises:
        UsageError: an unknown algorithm, parameter, slide or patient.
        CacappError: a step cannot be done.
    """
    request = _with_all_parameters(db, host, request)
    execution = request.execution
    with db.session() as session:
        request_id = open_request(session, request.command, request.settings(), execution.settings(), anew=execution.force)
    return resume_request(db, host, request, request_id, engine, progress)


def resume_request(
    db: Database, host: Host, request: PipelineRequest, request_id: int, engine: Engine, progress: Progress
) -> PipelineResult:
    """Run what is missing of a request that is recorded. Raises as ``run_pipeline`` does."""
    try:
        result = _run_steps(db, host, request, request_id, engine, progress)
    except StorageError:
        raise  # nothing is wrong with the request: it stays open
    except CacappError:
        with suppress(CacappError), db.session() as session:
            give_up_request(session, request_id)
        raise
    with db.session() as session:
        close_request(session, request_id, "done")
    return result


def resume_all(
    db: Database,
    unfinished: Sequence[Unfinished],
    progress: Progress,
    *,
    workers: int | None = None,
    cluster: str | None = None,
    retries: int | None = None,
    frame_timeout_s: float | None = None,
) -> PipelineResult:
    """Resume several requests, each with the plugins it was begun with; one that cannot be resumed does not stop the others.

    Args:
        retries, frame_timeout_s: None: as each request was begun.

    Raises:
        CacappError: none of them can be resumed.
    """
    total, errors = PipelineResult(), []
    for one in unfinished:
        request = one.request
        execution = replace(
            request.execution,
            retries=request.execution.retries if retries is None else retries,
            frame_timeout_s=request.execution.frame_timeout_s if frame_timeout_s is None else frame_timeout_s,
        )
        host = Host.discover(execution.excluded_plugins, read_settings())
        try:
            with execution.engine(workers, cluster) as engine:
                if one.request_id is None:
                    result = run_pipeline(db, host, request, engine, progress)
                else:
                    result = resume_request(db, host, request, one.request_id, engine, progress)
        except CacappError as error:
            if len(unfinished) == 1:
                raise
            errors.append(error)
            progress.fail(str(error))
            continue
        total.ingested += result.ingested
        total.reports += result.reports
        total.pages += result.pages
    if errors and len(errors) == len(unfinished):
        raise errors[0]
    return total


def _with_all_parameters(db: Database, host: Host, request: PipelineRequest) -> PipelineRequest:
    """Return the request with every parameter of its algorithms written out. Raises UsageError for an unknown name or parameter."""
    if request.segment is not None:
        choices, _ = build_algorithms(host, _with_model_files(db, request.segment))
        request = replace(request, segment=replace(request.segment, recorded=tuple(c.record() for c in choices)))
    if request.pseudo_label is not None:
        choices, _ = build_judging_algorithms(host, request.pseudo_label)
        request = replace(request, pseudo_label=replace(request.pseudo_label, recorded=tuple(c.record() for c in choices)))
    if request.count is not None:
        choice, _ = build_algorithm(host, "signal-detector", request.count.detector, request.count.params, request.count.recorded)
        request = replace(request, count=replace(request.count, recorded=(choice.record(),)))
    return request


def _with_model_files(db: Database, plan: SegmentPlan) -> SegmentPlan:
    with db.reading() as session:
        return replace(plan, params=with_model_files(session, plan.params))


def _run_steps(db: Database, host: Host, request: PipelineRequest, request_id: int, engine: Engine, progress: Progress) -> PipelineResult:
    """Run each step that has a plan. A slide that fails goes no further, the others do."""
    result = PipelineResult()
    execution: dict[str, Any] = {
        "force": request.execution.force,
        "engine": engine,
        "progress": progress,
        "request_id": request_id,
        "patient": request.patient,
    }
    barcodes = request.barcodes
    if request.slides:
        result.ingested = _ingest(db, host, request, engine, progress)
        barcodes = tuple(r.slide for r in result.ingested if r.error is None)
    if request.segment is not None:
        result.reports += segment(db, host, request.segment, barcodes, **execution)
        barcodes = tuple(r.slide for r in result.reports if r.done)
    if request.pseudo_label is not None:
        result.reports += pseudo_label(db, host, request.pseudo_label, barcodes, run_id=request.run_id, **execution)
    if request.count is not None and (barcodes or not result.reports):
        result.reports += count(db, host, request.count, barcodes, **execution)
    if request.out is not None:
        patients = list(dict.fromkeys(r.patient for r in request.slides if r.slide in barcodes))
        result.pages = write_reports(db, request.out, patients, progress) if patients else []
    return result


def _ingest(db: Database, host: Host, request: PipelineRequest, engine: Engine, progress: Progress) -> list[IngestReport]:
    """Ingest the slides, with the channels that the assay needs, while the engine's processes start."""
    nothing_to_do = _looks_done(db, request) and not request.execution.force
    start = _EarlyStart(engine, () if nothing_to_do else _needed_modules(host, request))
    assay = request.count.assay if request.count is not None else None
    required, aliases = ((DAPI, *assay.channels), assay.aliases) if assay is not None else ((DAPI,), None)
    return ingest(
        db,
        request.slides,
        required,
        progress,
        aliases,
        searched=start.expect_files,
        found=start.expect_frame,
        readers=engine.workers,
        plugins=lambda: host,
    )


def _looks_done(db: Database, request: PipelineRequest) -> bool:
    """Tell whether every slide to ingest has been taken through every step already, with whatever settings."""
    plans = (("segment", request.segment), (PSEUDO_LABEL, request.pseudo_label), ("count", request.count))
    steps = [step for step, plan in plans if plan is not None]
    with db.reading() as session:
        barcodes = [slide.slide for slide in request.slides]
        known = list(session.exec(select(Slide.id).where(col(Slide.barcode).in_(barcodes))))
        return len(known) == len(barcodes) and all(len(latest_run_ids(session, step, known)) == len(known) for step in steps)


def _needed_modules(host: Host, request: PipelineRequest) -> list[str]:
    """Return the modules that a process needs seconds to load before it can read and process frames."""
    modules = ["tifffile"]
    if request.segment is not None:
        chosen = host.find("segmenter", request.segment.segmenter).cls
        modules += ["cacapp.steps.segment", chosen.__module__, *chosen.loads]
    if request.count is not None:
        chosen = host.find("signal-detector", request.count.detector).cls
        modules += ["cacapp.steps.count", chosen.__module__, *chosen.loads]
    return modules


class _EarlyStart:
    """Starts an engine's processes while a slide is ingested, as soon as enough frames are found for them."""

    def __init__(self, engine: Engine, modules: Sequence[str]) -> None:
        self._engine, self._modules = engine, modules
        self._files = self._frames = self._pixels = 0

    def expect_files(self, files: int) -> None:
        """Announce files to read: where the user sets the number of processes, the size of the frames need not be known."""
        self._files += files
        self._engine.expect(self._files, 0, self._modules)

    def expect_frame(self, source: FrameSource) -> None:
        """Announce a frame with its size."""
        self._frames += 1
        self._pixels += source.height_px * source.width_px
        self._engine.expect(self._frames, self._pixels, self._modules)
