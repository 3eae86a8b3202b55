"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacapp import defaults

ANALYSIS, RECORD, EXECUTION = "Analysis", "Record", "Execution"

Db = Annotated[
    str | None,
    typer.Option("--db", envvar="CACAPP_DB", help="Database: a file or a SQLAlchemy URL.", show_default="cacapp.db here", show_envvar=True),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Force = Annotated[bool, typer.Option("--force", help="Repeat what an earlier run already did.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Processes that work on frames at once, each with one thread.",
        show_default="as many as cores and memory allow",
        rich_help_panel=EXECUTION,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="URL",
        help="Dask scheduler whose workers do the work instead, e.g. tcp://head:8786.",
        rich_help_panel=EXECUTION,
    ),
]
FrameTimeout = Annotated[
    float | None,
    typer.Option(
        "--frame-timeout", min=0.1, metavar="S", help="A frame that takes longer fails.", show_default="no limit", rich_help_panel=EXECUTION
    ),
]
Retries = Annotated[
    int, typer.Option("--retries", min=0, help="Tries after the first, before a frame is quarantined.", rich_help_panel=EXECUTION)
]
NoPlugin = Annotated[
    list[str] | None, typer.Option("--no-plugin", metavar="NAME", help="Keep a plugin or distribution out; may be repeated.")
]

Slides = Annotated[list[str] | None, typer.Argument(metavar="[SLIDE]...", help="Barcodes; all slides by default.")]
Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH...", help="Files or folders of one slide's frames, or addresses such as s3://bucket/slide1."),
]
PatientFilter = Annotated[str | None, typer.Option("--patient", help="Only this patient.")]
SlideFilter = Annotated[str | None, typer.Option("--slide", help="Only this slide.")]

Patient = Annotated[str | None, typer.Option("--patient", help="Pseudonym of the patient, never a name.")]
Slide = Annotated[str | None, typer.Option("--slide", help="Barcode of the slide.")]
Volume = Annotated[
    str | None,
    typer.Option(
        "--blood-volume-ul",
        metavar="UL",
        help="Volume of blood from which the slide was made, µL; 'unknown' gives counts without a verdict.",
    ),
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        help="CSV with one row a slide: patient, slide, path, blood_volume_ul (notes, pattern, channels, projection, pixel_size_um).",
    ),
]
Channels = Annotated[
    str | None,
    typer.Option("--channels", metavar="MAP", help="Which channel is which: DAPI=Hoechst,red=Cy5 (names as found) or red=#4 (position)."),
]
FilePattern = Annotated[
    str | None,
    typer.Option("--pattern", help="One file per channel: a file name with {frame} and {channel}, e.g. '{frame}_{channel}.tif'."),
]
Projection = Annotated[str, typer.Option("--projection", metavar="none|max|focus", help="How a z-stack becomes a plane.")]
PixelSize = Annotated[
    float | None,
    typer.Option("--pixel-size-um", metavar="UM", help="Edge length of a pixel, µm, in place of what the files say."),
]
SamePixels = Annotated[
    str | None,
    typer.Option("--same-pixels", metavar="WHY", help="Accept frames that show the pixels of another patient's; the reason is kept."),
]
Notes = Annotated[str | None, typer.Option("--notes", help="Free text kept with the slide.")]

Prompter = Annotated[str, typer.Option("--prompter", help="Prompt algorithm.", rich_help_panel=ANALYSIS)]
Segmenter = Annotated[str, typer.Option("--segmenter", help="Segmenter.", rich_help_panel=ANALYSIS)]
Filter = Annotated[
    list[str] | None,
    typer.Option("--filter", help="Instance filter; may be repeated.", show_default=", ".join(defaults.FILTERS), rich_help_panel=ANALYSIS),
]
Detector = Annotated[str, typer.Option("--detector", help="Signal detector.", rich_help_panel=ANALYSIS)]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of algorithms that draw random numbers.", rich_help_panel=ANALYSIS),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A parameter of a chosen algorithm (see: cacapp plugins show).", rich_help_panel=ANALYSIS
    ),
]
Assay = Annotated[str, typer.Option("--assay", help="Assay definition: a name or a TOML file.", rich_help_panel=ANALYSIS)]
MinEvaluable = Annotated[
    int | None,
    typer.Option(
        "--min-evaluable",
        min=1,
        metavar="N",
        help="Smallest number of evaluable cells for a verdict.",
        show_default="the assay's",
        rich_help_panel=ANALYSIS,
    ),
]
