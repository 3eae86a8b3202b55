"""``cacapp segment``, ``count`` and ``run``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp import defaults
from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say, say_warning
from cacapp.cli.ingest import describe, ingest_record, slide_requests
from cacapp.cli.results import print_patients
from cacapp.exceptions import CacappError, UsageError

if TYPE_CHECKING:
    from cacapp.engine import Engine
    from cacapp.host import Host
    from cacapp.runs.plan import CountPlan, SegmentPlan
    from cacapp.runs.progress import RunReport
    from cacapp.steps.pipeline import Done


def segment(
    slides: o.Slides = None,
    patient: o.PatientFilter = None,
    prompter: o.Prompter = defaults.PROMPTER,
    segmenter: o.Segmenter = defaults.SEGMENTER,
    filters: o.Filter = None,
    settings: o.Set = None,
    seed: o.Seed = 0,
    no_plugin: o.NoPlugin = None,
    force: o.Force = False,
    workers: o.Workers = None,
    cluster: o.Cluster = None,
    frame_timeout: o.FrameTimeout = None,
    retries: o.Retries = 1,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Find the nuclei of slides. What an earlier run did is not repeated; an interrupted one is finished."""
    from cacapp.db.engine.session import open_database
    from cacapp.runs.work import Work
    from cacapp.steps.pipeline import perform

    host = discover(no_plugin, quiet)
    plan, _ = plans(host, prompter, segmenter, filters, None, settings, None, None, seed)
    how = Execution(retries, frame_timeout, force, tuple(no_plugin or ()))
    work = Work("segment", barcodes=tuple(slides or ()), patient=patient, segment=plan, **how.settings())
    record = open_database(db, create=False)
    with progress(quiet) as bar, how.engine(workers, cluster) as engine:
        done = perform(record, host, work, engine, bar)
    finish(done.reports, json, quiet)


def count(
    slides: o.Slides = None,
    patient: o.PatientFilter = None,
    assay: o.Assay = defaults.ASSAY,
    detector: o.Detector = defaults.DETECTOR,
    settings: o.Set = None,
    min_evaluable: o.MinEvaluable = None,
    no_plugin: o.NoPlugin = None,
    force: o.Force = False,
    workers: o.Workers = None,
    cluster: o.Cluster = None,
    frame_timeout: o.FrameTimeout = None,
    retries: o.Retries = 1,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Count signals in the nuclei, call the cells by the assay, and bring the patients' results up to date."""
    from cacapp.db.engine.session import open_database
    from cacapp.runs.work import Work
    from cacapp.steps.pipeline import perform

    host = discover(no_plugin, quiet)
    _, plan = plans(host, None, None, None, detector, settings, assay, min_evaluable)
    how = Execution(retries, frame_timeout, force, tuple(no_plugin or ()))
    work = Work("count", barcodes=tuple(slides or ()), patient=patient, count=plan, **how.settings())
    record = open_database(db, create=False)
    with progress(quiet) as bar, how.engine(workers, cluster) as engine:
        done = perform(record, host, work, engine, bar)
    finish(done.reports, json, quiet)


def run(
    paths: o.Paths = None,
    patient: o.Patient = None,
    slide: o.Slide = None,
    blood_volume_ul: o.Volume = None,
    manifest: o.Manifest = None,
    channels: o.Channels = None,
    pattern: o.FilePattern = None,
    projection: o.Projection = "none",
    notes: o.Notes = None,
    prompter: o.Prompter = defaults.PROMPTER,
    segmenter: o.Segmenter = defaults.SEGMENTER,
    filters: o.Filter = None,
    assay: o.Assay = defaults.ASSAY,
    detector: o.Detector = defaults.DETECTOR,
    settings: o.Set = None,
    seed: o.Seed = 0,
    min_evaluable: o.MinEvaluable = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the HTML reports.")] = True,
    out: Annotated[Path, typer.Option("--out", help="Folder of the reports.")] = Path("reports"),
    no_plugin: o.NoPlugin = None,
    force: o.Force = False,
    workers: o.Workers = None,
    cluster: o.Cluster = None,
    frame_timeout: o.FrameTimeout = None,
    retries: o.Retries = 1,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """All in one: ingest, segment, count, report.

    One slide by PATH with --patient, --slide and --blood-volume-ul, or many with --manifest.
    """
    from cacapp.db.engine.session import open_database
    from cacapp.runs.work import Work
    from cacapp.steps.pipeline import perform

    requests = slide_requests(paths, patient, slide, blood_volume_ul, manifest, channels, pattern, projection, notes)
    host = discover(no_plugin, quiet)
    segment_plan, count_plan = plans(host, prompter, segmenter, filters, detector, settings, assay, min_evaluable, seed)
    how = Execution(retries, frame_timeout, force, tuple(no_plugin or ()))
    pages = out if report else None
    work = Work("run", slides=tuple(requests), segment=segment_plan, count=count_plan, out=pages, **how.settings())
    record = open_database(db)
    with progress(quiet) as bar, how.engine(workers, cluster) as engine:
        done = perform(record, host, work, engine, bar)
    tell(done, db, json, quiet)
    exit_code(done.reports, done.partly, quiet)


def tell(done: Done, db: str | None, json: bool, quiet: bool) -> None:
    """Prints what the steps of a command gave."""
    for ingested in done.ingested:
        say(describe(ingested), quiet or json)
    for one in done.reports:
        say(describe_run(one), quiet or json)
    if json:
        slides = [ingest_record(i) for i in done.ingested]
        print_json({"slides": slides, "runs": [_record(r) for r in done.reports], "reports": [str(p) for p in done.pages]})
    elif not quiet and done.ingested:
        print_patients(db, [i.patient for i in done.ingested if i.error is None])
        if done.pages:
            say(str(done.pages[0] if len(done.pages) == 2 else done.pages[-1]), lead="Report:")


@dataclass(frozen=True, slots=True)
class Execution:
    """How a command's frames are done, whatever is done with them."""

    retries: int
    frame_timeout_s: float | None
    force: bool
    excluded_plugins: tuple[str, ...]

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def engine(self, workers: int | None, cluster: str | None) -> Engine:
        """Raises UsageError for workers here and on a cluster."""
        return engine_of(workers, cluster, self.retries, self.frame_timeout_s)


def engine_of(workers: int | None, cluster: str | None, retries: int, frame_timeout_s: float | None) -> Engine:
    """Raises UsageError for workers here and on a cluster."""
    from cacapp.engine import Engine

    if cluster is not None and workers is not None:
        raise UsageError("--workers are processes of this machine, --cluster has workers of its own: give one of them")
    return Engine(workers, cluster=cluster, frame_timeout_s=frame_timeout_s, retries=retries)


def discover(no_plugin: Sequence[str] | None, quiet: bool) -> Host:
    """The plugins, less those kept out; what is broken is said on stderr and stops only what asks for it."""
    from cacapp.host import Host, read_settings

    host = Host.discover(no_plugin or (), read_settings())
    for problem in host.problems:
        say_warning(str(problem), quiet)
    return host


def plans(
    host: Host,
    prompter: str | None,
    segmenter: str | None,
    filters: Sequence[str] | None,
    detector: str | None,
    settings: Sequence[str] | None,
    assay: str | None,
    min_evaluable: int | None,
    seed: int = 0,
) -> tuple[SegmentPlan, CountPlan]:
    """What to run, with ``--set`` shared out among the chosen algorithms. Raises UsageError for unknown names and parameters."""
    from cacapp.fish.assay.read import load_assay
    from cacapp.host import assign
    from cacapp.runs.plan import CountPlan, SegmentPlan

    filter_names = tuple(filters or defaults.FILTERS)
    chosen = [("prompter", prompter), ("segmenter", segmenter), ("signal-detector", detector)]
    names = chosen + ([("filter", name) for name in filter_names] if segmenter else [])
    values = assign(settings or (), [host.find(kind, name) for kind, name in names if name])
    for kind, name in names:
        if name:
            host.build(kind, name, values[name])
    segmentation = SegmentPlan(
        prompter or defaults.PROMPTER,
        segmenter or defaults.SEGMENTER,
        filter_names,
        {n: v for n, v in values.items() if n != detector},
        seed,
    )
    counting = CountPlan(load_assay(assay or defaults.ASSAY), detector or defaults.DETECTOR, values.get(detector or "", {}), min_evaluable)
    return segmentation, counting


def describe_run(report: RunReport) -> str:
    """What a run did, in a line."""
    if report.repeated:
        missing = f", {_quarantined(report)}" if report.failed else ""
        return f"{report.step} {report.slide}: already done as run {report.run_id}, nothing repeated (--force does it again){missing}"
    before = f" ({report.before} done before)" if report.before else ""
    what = {"segment": "cells", "count": "dots"}.get(report.step, "masks")
    parts = [f"{report.done} of {report.frames} frames{before}", f"{report.items} {what}"]
    if report.failed:
        parts.append(_quarantined(report))
    return f"{report.step} {report.slide}: run {report.run_id}, {', '.join(parts)}, {report.seconds:.1f} s"


def _quarantined(report: RunReport) -> str:
    return f"{len(report.failed)} quarantined (cacapp runs retry --failed {report.run_id})"


def finish(reports: Sequence[RunReport], json: bool, quiet: bool) -> None:
    """Prints what runs did and leaves with the exit code that fits."""
    if json:
        print_json([_record(r) for r in reports])
    for report in reports:
        say(describe_run(report), quiet or json)
    exit_code(reports, False, quiet)


def exit_code(reports: Sequence[RunReport], refused: bool, quiet: bool) -> None:
    """0 all done, 3 done but some frames failed; an error where no frame of a run could be done."""
    lost = [r for r in reports if r.frames and not r.done]
    if lost and len(lost) == len(reports):
        name, error = lost[0].failed[0]
        raise CacappError(f"{lost[0].step} of slide {lost[0].slide} failed on every frame; first {name}: {error}")
    if refused or any(r.failed for r in reports):
        say_warning("succeeded with failures: some slides, files or frames are missing; see above, or: cacapp runs show RUN", quiet)
        raise typer.Exit(3)


def _record(report: RunReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__dataclass_fields__} | {"failed": dict(report.failed)}
