"""The order of the steps when one command does several of them: ``run``, ``demo``, and whatever ``runs resume`` goes on with."""

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
from cacapp.runs.choose import choose
from cacapp.runs.progress import Progress, RunReport
from cacapp.runs.segment_frame import build_algorithms
from cacapp.runs.work import HOW, Work
from cacapp.steps.count import count
from cacapp.steps.ingest import IngestReport, ingest
from cacapp.steps.learning.pseudo_label import build_judges, pseudo_label
from cacapp.steps.report.write import write_reports
from cacapp.steps.segment import segment
from cacapp.types import DAPI, FrameSource

if TYPE_CHECKING:
    from cacapp.host import Host


@dataclass(slots=True)
class Done:
    """What the steps gave; ``pages`` are the HTML files, the index last."""

    ingested: list[IngestReport] = field(default_factory=list)
    reports: list[RunReport] = field(default_factory=list)
    pages: list[Path] = field(default_factory=list)

    @property
    def partly(self) -> bool:
        """Whether a file or a slide was refused at ingest."""
        return any(i.refused or i.error for i in self.ingested)


def perform(db: Database, host: Host, work: Work, engine: Engine, progress: Progress) -> Done:
    """Records the work and does it.

    What stops it (Ctrl-C, a crash, a full disk) leaves it open for ``runs resume``; work that cannot be done is closed.
    """
    work = recorded(db, host, work)
    settings = work.settings()
    how = {name: settings.pop(name) for name in HOW}
    with db.session() as session:
        request_id = open_request(session, work.command, settings, how, anew=work.force)
    return go_on(db, host, work, request_id, engine, progress)


def go_on(db: Database, host: Host, work: Work, request_id: int, engine: Engine, progress: Progress) -> Done:
    """Does what is missing of work that is on record."""
    try:
        done = _steps(db, host, work, request_id, engine, progress)
    except StorageError:
        raise  # nothing is wrong with the work: it stays open
    except CacappError:
        with suppress(CacappError), db.session() as session:
            give_up_request(session, request_id)
        raise
    with db.session() as session:
        close_request(session, request_id, "done")
    return done


def recorded(db: Database, host: Host, work: Work) -> Work:
    """The work with every parameter of its algorithms spelled out. Raises UsageError for an unknown name or parameter."""
    if work.segment is not None:
        with db.reading() as session:
            params = with_model_files(session, work.segment.params)
        choices, _ = build_algorithms(host, replace(work.segment, params=params))
        work = replace(work, segment=replace(work.segment, recorded=tuple(c.record() for c in choices)))
    if work.pseudo_label is not None:
        choices, _ = build_judges(host, work.pseudo_label)
        work = replace(work, pseudo_label=replace(work.pseudo_label, recorded=tuple(c.record() for c in choices)))
    if work.count is not None:
        choice, _ = choose(host, "signal-detector", work.count.detector, work.count.params, work.count.recorded)
        work = replace(work, count=replace(work.count, recorded=(choice.record(),)))
    return work


def _looks_done(db: Database, work: Work) -> bool:
    """Whether every slide to ingest has been taken through every step already, with whatever settings: there may be nothing to do."""
    steps = [
        step for step, plan in (("segment", work.segment), (PSEUDO_LABEL, work.pseudo_label), ("count", work.count)) if plan is not None
    ]
    with db.reading() as session:
        barcodes = [request.slide for request in work.slides]
        known = list(session.exec(select(Slide.id).where(col(Slide.barcode).in_(barcodes))))
        return len(known) == len(barcodes) and all(len(latest_run_ids(session, step, known)) == len(known) for step in steps)


def _needed(host: Host, work: Work) -> list[str]:
    """The modules that take a process seconds to load before it can read frames and work on them."""
    modules = ["aicsimageio", "distributed"]  # dask, which reads for aicsimageio, imports the other where it is installed
    if work.segment is not None:
        chosen = host.find("segmenter", work.segment.segmenter).cls
        modules += ["cacapp.steps.segment", chosen.__module__, *chosen.loads]
    if work.count is not None:
        chosen = host.find("signal-detector", work.count.detector).cls
        modules += ["cacapp.steps.count", chosen.__module__, *chosen.loads]
    return modules


class _Early:
    """Lets an engine's processes start while a slide is ingested, as soon as it is known that there is enough for them to do."""

    def __init__(self, engine: Engine, modules: Sequence[str]) -> None:
        self._engine, self._modules = engine, modules
        self._files = self._frames = self._pixels = 0

    def searched(self, files: int) -> None:
        """Where the user says how many processes there are to be, it need not be known how large the frames are."""
        self._files += files
        self._engine.expect(self._files, 0, self._modules)

    def found(self, source: FrameSource) -> None:
        self._frames += 1
        self._pixels += source.height_px * source.width_px
        self._engine.expect(self._frames, self._pixels, self._modules)


def _steps(db: Database, host: Host, work: Work, request_id: int, engine: Engine, progress: Progress) -> Done:
    """A slide that fails goes no further, the others do."""
    done = Done()
    how: dict[str, Any] = {"force": work.force, "engine": engine, "progress": progress, "request_id": request_id}
    barcodes = work.barcodes
    if work.slides:
        early = _Early(engine, () if _looks_done(db, work) and not work.force else _needed(host, work))
        assay = work.count.assay if work.count is not None else None
        required = (DAPI, *assay.channels) if assay is not None else (DAPI,)
        aliases = assay.aliases if assay is not None else None
        done.ingested = ingest(
            db, work.slides, required, progress, aliases, searched=early.searched, found=early.found, readers=engine.workers
        )
        barcodes = tuple(r.slide for r in done.ingested if r.error is None)
    if work.segment is not None:
        done.reports += segment(db, host, work.segment, barcodes, patient=work.patient, **how)
        barcodes = tuple(r.slide for r in done.reports if r.done)
    if work.pseudo_label is not None:
        done.reports += pseudo_label(db, host, work.pseudo_label, barcodes, patient=work.patient, run_id=work.run_id, **how)
    if work.count is not None and (barcodes or not done.reports):
        done.reports += count(db, host, work.count, barcodes, patient=work.patient, **how)
    if work.out is not None:
        patients = list(dict.fromkeys(r.patient for r in work.slides if r.slide in barcodes))
        done.pages = write_reports(db, work.out, patients, progress) if patients else []
    return done
