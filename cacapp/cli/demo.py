"""``cacapp simulate`` and ``demo``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cacapp import defaults
from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say
from cacapp.cli.tables import print_table
from cacapp.exceptions import UsageError

NUCLEI = 60
"""Nuclei of a frame, unless told otherwise."""


def simulate(
    out: Annotated[Path | None, typer.Argument(metavar="OUT", help="Folder to write into.", show_default=False)] = None,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of the slide.")] = 2,
    nuclei: Annotated[
        list[str] | None,
        typer.Option(
            "--nuclei",
            metavar="N|FOLDER",
            help="Nuclei per frame; or a folder of labelled images whose nuclei are used. May be given once for each.",
            show_default="60, drawn",
        ),
    ] = None,
    height_px: Annotated[int, typer.Option("--height", min=128, max=16384, metavar="PX", help="Height of a frame, px.")] = 1024,
    width_px: Annotated[int, typer.Option("--width", min=128, max=16384, metavar="PX", help="Width of a frame, px.")] = 1024,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same slide.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the slide model, such as cac_share=0.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME|FILE", help="Scene, such as field: a shipped one or a TOML file; --parameters names them."),
    ] = None,
    parameters: Annotated[
        bool, typer.Option("--parameters", help="List the parameters of the slide model, with --preset its values; write nothing.")
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write simulated 4-colour FISH frames with their exact truth beside them."""
    from cacapp.report.wording import plural
    from cacapp.simulation import load_preset, preset_names
    from cacapp.steps.simulate import model_parameters, simulate_slide

    if parameters:
        listed = model_parameters(preset)
        if json:
            print_json([{"name": n, "default" if preset is None else "value": d, "description": t} for n, d, t in listed])
        elif not quiet:
            print_table(["parameter", "default" if preset is None else preset, "what it is"], listed)
            print_table(["preset", "what it is"], [(name, load_preset(name).description) for name in preset_names()])
        return
    if out is None:
        raise UsageError("OUT is missing: name a folder to write into, or list the parameters of the slide model with --parameters")
    number, folder = _number_and_folder(nuclei or ())
    with progress(quiet) as bar:
        paths = simulate_slide(out, frames, number, height_px, width_px, seed, settings or (), preset, folder, bar)
    if json:
        print_json([str(p) for p in paths])
    say(f"{plural(frames, 'frame')} with labels and truth.csv written to {out}", quiet or json)


def _number_and_folder(nuclei: Sequence[str]) -> tuple[int, Path | None]:
    """Return the number of nuclei and the folder of ``--nuclei``. Raises UsageError where one is given twice or is negative."""
    numbers = [text for text in nuclei if text.removeprefix("-").isdigit()]
    folders = [text for text in nuclei if text not in numbers]
    if len(numbers) > 1 or len(folders) > 1:
        raise UsageError(f"--nuclei {' --nuclei '.join(nuclei)}: give at most one number of nuclei and one folder")
    if numbers and int(numbers[0]) < 0:
        raise UsageError(f"--nuclei {numbers[0]}: cannot be negative")
    return (int(numbers[0]) if numbers else NUCLEI), (Path(folders[0]) if folders else None)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the demo's database and reports.")] = Path("cacapp_demo"),
    slides: Annotated[
        Path | None, typer.Option("--slides", help="Folder with slides.csv. [default: ./sample_slides, or simulated anew]")
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Analyse five simulated patients, from slides to reports."""
    from cacapp.cli.execute import execute, leave, load_plugins
    from cacapp.cli.results import print_patients
    from cacapp.fish.assay.read import load_assay
    from cacapp.runs.files import make_folder
    from cacapp.runs.plan import CountPlan, SegmentPlan
    from cacapp.runs.request import Execution, slides_request
    from cacapp.simulation import SAMPLE_MIN_EVALUABLE_CELLS
    from cacapp.steps.manifest import read_manifest
    from cacapp.steps.simulate import sample_slides

    host = load_plugins(None, quiet)
    count_plan = CountPlan(load_assay(defaults.ASSAY), min_evaluable_cells=SAMPLE_MIN_EVALUABLE_CELLS)
    make_folder(out)
    db = str(out / "cacapp.db")
    checkout = Path("sample_slides")
    with progress(quiet) as bar:
        if slides is not None:
            folder, origin = slides, "given with --slides"
        elif (checkout / "slides.csv").is_file():
            folder, origin = checkout, "of this checkout"
        else:
            folder, origin = sample_slides(out / "slides", bar), "simulated anew"
    slides_of_demo = read_manifest(folder / "slides.csv")
    request = slides_request(host, slides_of_demo, SegmentPlan(), count_plan, (), out=out / "reports", execution=Execution())
    result = execute(request, host, db, None, None, quiet, create=True)
    if json:
        print_json({"slides": str(folder), "database": db, "reports": [str(p) for p in result.pages]})
    elif not quiet:
        print_patients(db)
        asked = count_plan.assay.patient.min_evaluable_cells
        say("")
        say(f"{folder} ({origin}); database: {db}", lead="Slides:")
        say(f"The demo's small slides are judged from {SAMPLE_MIN_EVALUABLE_CELLS} evaluable cells on; the assay asks for {asked}.")
        say(str(result.pages[-1]), lead="Reports with pictures:")
        say("cacapp run FOLDER --patient P001 --slide S001 --blood-volume-ul 100", lead="Your own slide:")
    leave(result, quiet)
