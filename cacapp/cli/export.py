"""``cacapp export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say, say_warning


def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write into.")],
    slide: Annotated[list[str] | None, typer.Option("--slide", help="Slide; may be repeated. All by default, a folder each.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="tiff|ome-zarr|geojson|roi|coco", help="Format of the files.")] = "tiff",
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Export cells for other programs: label images with cells.csv, OME-Zarr (napari), GeoJSON (QuPath), ROI sets (ImageJ) or COCO."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.queries import missing_frames
    from cacapp.report.wording import plural
    from cacapp.steps.export import export as step

    record = open_database(db, create=False)
    with progress(quiet) as bar:
        paths = step(record, out, slide or (), form, bar)
    with record.reading() as session:
        for one in missing_frames(session, slide):
            say_warning(str(one), quiet)
    if json:
        print_json([str(p) for p in paths])
    say(f"{plural(len(paths), 'file')} written to {out}", quiet or json)
