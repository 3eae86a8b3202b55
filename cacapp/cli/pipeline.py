"""The order of the steps when one command does them all: ``run`` and ``demo``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cacapp.db.session import open_database
from cacapp.engine import Engine
from cacapp.steps.count import CountPlan, count
from cacapp.steps.ingest import IngestReport, ingest
from cacapp.steps.manifest import SlideRequest
from cacapp.steps.progress import Progress, RunReport
from cacapp.steps.report import write_reports
from cacapp.steps.segment import SegmentPlan, segment
from cacapp.types import DAPI

if TYPE_CHECKING:
    from cacapp.host import Host


@dataclass(frozen=True, slots=True)
class Done:
    """What the steps gave; ``pages`` are the HTML files, the index last."""

    ingested: list[IngestReport]
    reports: list[RunReport]
    pages: list[Path]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Ingest, segment, count and report, with the same settings for all slides."""

    db: str | None
    host: Host
    segment_plan: SegmentPlan
    count_plan: CountPlan
    force: bool
    engine: Engine
    progress: Progress

    def run(self, requests: Sequence[SlideRequest], out: Path | None) -> Done:
        """Takes the slides through all steps; ``out`` None writes no report. A slide that fails goes no further, the others do."""
        db = open_database(self.db)
        assay = self.count_plan.assay
        ingested = ingest(db, requests, (DAPI, *assay.channels), self.progress, assay.aliases)
        barcodes = [r.slide for r in ingested if r.error is None]
        how = {"force": self.force, "engine": self.engine, "progress": self.progress}
        segmented = segment(db, self.host, self.segment_plan, barcodes, **how)  # type: ignore[arg-type]
        usable = [r.slide for r in segmented if r.done]
        counted = count(db, self.host, self.count_plan, usable, **how) if usable else []  # type: ignore[arg-type]
        patients = list(dict.fromkeys(r.patient for r in requests if r.slide in usable))
        pages = write_reports(db, out, patients, self.progress) if out is not None and patients else []
        return Done(ingested, [*segmented, *counted], pages)
