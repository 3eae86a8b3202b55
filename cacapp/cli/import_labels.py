"""``cacapp import-labels``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacapp.cli import options as o
from cacapp.cli.console import progress
from cacapp.cli.execute import print_runs


def import_labels(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="One file a frame: FRAME_labels.tif, FRAME_cp_masks.png, FRAME.ome.zarr, FRAME.geojson, FRAME_rois.zip; "
            "or a COCO annotations.json.",
        ),
    ],
    slide: Annotated[str, typer.Option("--slide", help="Barcode of the slide.")],
    origin: Annotated[str, typer.Option("--origin", help="The program or person that drew them; stored with the run.")] = "labels",
    split: Annotated[bool, typer.Option("--split-labels", help="Make a nucleus of each separate part of a label.")] = False,
    force: o.Force = False,
    workers: o.Workers = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Import nuclei from elsewhere (Cellpose, QuPath, Fiji, napari, a person) as a segmentation of the slide; then run cacapp count."""
    from cacapp.db.engine.session import open_database
    from cacapp.engine import Engine
    from cacapp.steps.import_labels import import_labels as step
    from cacapp.steps.pipeline import PipelineResult

    with progress(quiet) as bar, Engine(workers) as engine:
        report = step(open_database(db, create=False), folder, slide, origin=origin, split=split, force=force, engine=engine, progress=bar)
    print_runs(PipelineResult(reports=[report]), json, quiet)
