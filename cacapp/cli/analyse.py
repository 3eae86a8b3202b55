"""``cacapp segment``, ``count`` and ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacapp import defaults
from cacapp.cli import options as o
from cacapp.cli.execute import execute, execution_of, load_plugins, print_result, print_runs
from cacapp.cli.ingest import slide_requests


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
    """Find the nuclei of slides. Finished runs are not repeated; an interrupted one is resumed."""
    from cacapp.runs.plan import SegmentPlan, parameters_by_algorithm
    from cacapp.runs.request import PipelineRequest

    host = load_plugins(no_plugin, quiet)
    plan = SegmentPlan(prompter, segmenter, tuple(filters or defaults.FILTERS), seed=seed)
    plan = plan.with_parameters(parameters_by_algorithm(host, plan.algorithms(), settings or ()))
    execution = execution_of(retries, frame_timeout, force, no_plugin)
    request = PipelineRequest("segment", barcodes=tuple(slides or ()), patient=patient, segment=plan, execution=execution)
    print_runs(execute(request, host, db, workers, cluster, quiet), json, quiet)


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
    """Count signals in the nuclei, call the cells by the assay, and update the patients' results."""
    from cacapp.fish.assay.read import load_assay
    from cacapp.runs.plan import CountPlan, parameters_by_algorithm
    from cacapp.runs.request import PipelineRequest

    host = load_plugins(no_plugin, quiet)
    plan = CountPlan(load_assay(assay), detector, min_evaluable_cells=min_evaluable)
    plan = plan.with_parameters(parameters_by_algorithm(host, plan.algorithms(), settings or ()))
    execution = execution_of(retries, frame_timeout, force, no_plugin)
    request = PipelineRequest("count", barcodes=tuple(slides or ()), patient=patient, count=plan, execution=execution)
    print_runs(execute(request, host, db, workers, cluster, quiet), json, quiet)


def run(
    paths: o.Paths = None,
    patient: o.Patient = None,
    slide: o.Slide = None,
    blood_volume_ul: o.Volume = None,
    manifest: o.Manifest = None,
    channels: o.Channels = None,
    pattern: o.FilePattern = None,
    projection: o.Projection = "none",
    pixel_size_um: o.PixelSize = None,
    same_pixels: o.SamePixels = None,
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
    """Run all steps: ingest, segment, count, report.

    One slide by PATH with --patient, --slide and --blood-volume-ul, or many with --manifest.
    """
    from cacapp.fish.assay.read import load_assay
    from cacapp.runs.plan import CountPlan, SegmentPlan
    from cacapp.runs.request import slides_request

    slides = slide_requests(
        paths, patient, slide, blood_volume_ul, manifest, channels, pattern, projection, notes, pixel_size_um, same_pixels
    )
    host = load_plugins(no_plugin, quiet)
    request = slides_request(
        host,
        slides,
        SegmentPlan(prompter, segmenter, tuple(filters or defaults.FILTERS), seed=seed),
        CountPlan(load_assay(assay), detector, min_evaluable_cells=min_evaluable),
        settings or (),
        out=out if report else None,
        execution=execution_of(retries, frame_timeout, force, no_plugin),
    )
    print_result(execute(request, host, db, workers, cluster, quiet, create=True), db, json, quiet)
