"""``cacapp ingest``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cacapp import defaults
from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from cacapp.runs.plan import SlideRequest
    from cacapp.steps.ingest import IngestReport


def ingest(
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
    assay: o.Assay = defaults.ASSAY,
    no_plugin: o.NoPlugin = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Add slides and their frames to the database; pixels stay where they are.

    One slide by PATH with --patient, --slide and --blood-volume-ul, or many with --manifest.
    """
    from cacapp.db.engine.session import open_database
    from cacapp.fish.assay.read import load_assay
    from cacapp.host import Host, read_settings
    from cacapp.steps.ingest import ingest as step
    from cacapp.types import DAPI

    requests = slide_requests(
        paths, patient, slide, blood_volume_ul, manifest, channels, pattern, projection, notes, pixel_size_um, same_pixels
    )
    definition = load_assay(assay)
    with progress(quiet) as bar:
        plugins = partial(Host.discover, no_plugin or (), read_settings(), ("reader",))
        reports = step(open_database(db), requests, (DAPI, *definition.channels), bar, definition.aliases, plugins=plugins)
    if json:
        print_json([ingest_record(r) for r in reports])
    for report in reports:
        say(describe(report), quiet or json)
    if any(r.refused or r.error for r in reports):
        raise typer.Exit(3)


def describe(report: IngestReport) -> str:
    """Describe the ingest of a slide in a line."""
    if report.error is not None:
        return f"slide {report.slide} of patient {report.patient}: not added"
    parts = [f"{report.added} frame{'s' * (report.added != 1)} added"]
    if report.known:
        parts.append(f"{report.known} already there")
    if report.refused:
        parts.append(f"{len(report.refused)} file{'s' * (len(report.refused) != 1)} refused")
    return f"slide {report.slide} of patient {report.patient}: {', '.join(parts)}"


def ingest_record(report: IngestReport) -> dict[str, Any]:
    """Return the report as JSON values."""
    return {name: getattr(report, name) for name in report.__dataclass_fields__} | {"refused": dict(report.refused)}


def slide_requests(
    paths: Sequence[str] | None,
    patient: str | None,
    slide: str | None,
    blood_volume_ul: str | None,
    manifest: Path | None,
    channels: str | None,
    pattern: str | None,
    projection: str,
    notes: str | None,
    pixel_size_um: float | None = None,
    same_pixels: str | None = None,
) -> list[SlideRequest]:
    """Return the slides of PATH... with its options, or of --manifest. Raises UsageError where neither or both are given."""
    from cacapp.runs.plan import SlideRequest
    from cacapp.steps.manifest import check_pixel_size, read_manifest, source_path, volume_ul

    if pixel_size_um is not None:
        check_pixel_size(pixel_size_um, "--pixel-size-um")
    if same_pixels is not None and not same_pixels.strip():
        raise UsageError("--same-pixels is empty: say why these frames may have another patient's pixels; the record keeps it")

    if manifest is not None:
        given = {"PATH": paths, "--patient": patient, "--slide": slide, "--blood-volume-ul": blood_volume_ul, "--notes": notes}
        extra = [name for name, value in given.items() if value]
        if extra:
            raise UsageError(f"{extra[0]} and --manifest exclude each other: the manifest says it for each slide")
        return [_with_defaults(r, channels, pattern, projection, pixel_size_um, same_pixels) for r in read_manifest(manifest)]
    needed = {"PATH": paths, "--patient": patient, "--slide": slide, "--blood-volume-ul": blood_volume_ul}
    missing = [name for name, value in needed.items() if not value]
    if missing or not paths or not patient or not slide or not blood_volume_ul:
        hint = " ('--blood-volume-ul unknown' gives counts without a verdict)" if missing == ["--blood-volume-ul"] else ""
        raise UsageError(f"missing {', '.join(missing)}{hint}; or give --manifest slides.csv")
    places = tuple(source_path(p, Path()) for p in paths)
    volume = volume_ul(blood_volume_ul, "--blood-volume-ul")
    return [SlideRequest(patient, slide, places, volume, notes, pattern, channels, projection, pixel_size_um, same_pixels)]


def _with_defaults(
    request: SlideRequest,
    channels: str | None,
    pattern: str | None,
    projection: str,
    pixel_size_um: float | None,
    same_pixels: str | None,
) -> SlideRequest:
    from dataclasses import replace

    return replace(
        request,
        channels=request.channels or channels,
        pattern=request.pattern or pattern,
        projection=projection if request.projection == "none" else request.projection,
        pixel_size_um=pixel_size_um if request.pixel_size_um is None else request.pixel_size_um,
        same_pixels=same_pixels,
    )
