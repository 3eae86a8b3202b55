"""``cacapp evaluate`` and ``benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cacapp import defaults
from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say, say_warning
from cacapp.cli.execute import load_plugins
from cacapp.cli.tables import Column, print_table

if TYPE_CHECKING:
    from cacapp.report.comparison import Comparison
    from cacapp.steps.benchmark.evaluate import Evaluation

Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help="Instance filter; what it rejects is not a prediction. May be repeated. None by default: all instances are measured.",
        rich_help_panel=o.ANALYSIS,
    ),
]
Channels = Annotated[
    str | None,
    typer.Option("--channels", metavar="MAP", help="Which channel of the images is DAPI: DAPI=Hoechst (name as found) or DAPI=#0."),
]


def evaluate(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images: DAPI alone, or files with a channel DAPI.")],
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Folder of instance labels with the images' stems, or STEM_labels.")],
    prompter: o.Prompter = defaults.PROMPTER,
    segmenter: o.Segmenter = defaults.SEGMENTER,
    filters: Filters = None,
    settings: o.Set = None,
    channels: Channels = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for predictions, metrics.csv and a picture of best, median and worst image.")
    ] = None,
    no_plugin: o.NoPlugin = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Measure a segmentation against labels drawn by a person. Needs no database.

    All instances of the segmenter are measured; --filter applies filters first. Nuclei of an image without prediction count as missed.
    """
    from cacapp.frames import parse_channels
    from cacapp.runs.plan import SegmentPlan, parameters_by_algorithm
    from cacapp.steps.benchmark.evaluate import evaluate as step

    host = load_plugins(no_plugin, quiet)
    plan = SegmentPlan(prompter, segmenter, tuple(filters or ()))
    plan = plan.with_parameters(parameters_by_algorithm(host, plan.algorithms(), settings or ()))
    with progress(quiet) as bar:
        found = step(host, plan, images, labels, channels=parse_channels(channels) if channels else None, out=out, progress=bar)
    if json:
        print_json(found.record())
    elif not quiet:
        _print(found)
        if out is not None:
            say(str(out), lead="Predictions, metrics.csv and examples.png:")
    if found.failed:
        raise typer.Exit(3)


def benchmark(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with images/ and labels/ to measure on.")],
    train: Annotated[
        Path | None,
        typer.Option(
            "--train",
            help="Folder with images/ to train on, and labels/, drawn by a person, for the rows that are trained on human labels.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the table, the figure and the results of the rows.")] = Path("benchmark"),
    rows: Annotated[list[str] | None, typer.Option("--row", metavar="ROW", help="Only this row (see --rows); may be repeated.")] = None,
    list_rows: Annotated[bool, typer.Option("--rows", help="List the rows and exit.")] = False,
    settings: o.Set = None,
    channels: Channels = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the training.")] = 0,
    no_plugin: o.NoPlugin = None,
    force: Annotated[bool, typer.Option("--force", help="Measure finished rows again.")] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Measure every installed segmenter on the same images, as in the table of the method's paper.

    A row that needs something else says how to get it. Finished rows are stored in OUT: repeat the command to resume. Rows that are
    trained on pseudo-labels make them from the images of --train, or, without it, from those measured; human labels are not read for
    that. Name the rows you want with --row to leave out slow ones.
    """
    from cacapp.frames import parse_channels
    from cacapp.steps.benchmark.methods import requirements, rows_of
    from cacapp.steps.benchmark.table import Benchmark

    host = load_plugins(no_plugin, quiet)
    if list_rows:
        known = [[r.key, r.method, r.learns or "", "; ".join(requirements(host, r))] for r in rows_of(host)]
        if json:
            print_json([dict(zip(("row", "method", "learns_from", "needs"), row, strict=True)) for row in known])
        else:
            print_table(["row", "method", "trained on", "needs"], known, airy=False)
        return
    with progress(quiet) as bar:
        task = Benchmark(host, folder, train, out, settings or (), parse_channels(channels) if channels else None, seed, force, bar)
        comparison = task.run(rows or ())
    if json:
        print_json(comparison.record())
    elif not quiet:
        _print_comparison(comparison)
        say(str(out / "benchmark.md"), lead="Table and figure:")
    if comparison.failed:
        say_warning("some images could not be measured; see the errors above", quiet)
        raise typer.Exit(3)


def _print(found: Evaluation) -> None:
    from cacapp.arrays.metrics import THRESHOLDS
    from cacapp.report.wording import plural

    figures = found.figures
    names = {choice.kind: choice.name for choice in found.choices}
    title = names["segmenter"] + (f" prompted by {names['prompter']}" if "prompter" in names else "")
    filters = [choice.name for choice in found.choices if choice.kind == "filter"]
    meanings = {f"AP@{t}": "" for t in THRESHOLDS} | {
        "F1@0.5": "found at IoU 0.5, over the nuclei of all images",
        "object_dice": "mean over true nuclei, a missed one counts 0",
        "pixel_dice": "foreground, all images together",
        "pixel_iou": "foreground, all images together",
    }
    meanings["AP@0.5"] = "TP/(TP+FP+FN), matched at IoU 0.5, mean over images"
    rows = [[key.replace("_", " ").replace("iou", "IoU"), f"{figures[key]:.4f}", text] for key, text in meanings.items()]
    first = f", the first took {found.first_seconds:.2f}" if len(found.images) > 1 else ""
    rows.append(["seconds an image", f"{found.seconds_per_image:.3f}", f"{found.megapixels:.2f} megapixels on {found.device}{first}"])
    if figures["missing"]:
        rows.append(["without prediction", f"{figures['missing']:.0f}", "images; their nuclei count as missed"])
    counts = (
        f"{plural(int(figures['images']), 'image')}, {figures['nuclei_true']:.0f} true and {figures['nuclei_pred']:.0f} predicted nuclei"
    )
    print_table(
        ["figure", ("value", "right"), "what it is"], rows, title=title + (f", {', '.join(filters)}" if filters else ""), airy=False
    )
    say(counts)


def _print_comparison(comparison: Comparison) -> None:
    numbers = ("AP@0.5", "AP@0.75", "object Dice %", "pixel Dice %", "s/frame")
    columns: list[Column] = ["method", *((name, "right") for name in numbers), "device", ("paper: Dice %, s", "right")]
    rows = []
    for line in comparison.lines:
        *cells, dice, seconds = line.cells()
        if line.measured:
            rows.append([*cells, f"{dice}, {seconds}" if dice else None])
    print_table(columns, rows, airy=False)
    if negative := comparison.negative_prompts():
        say(negative, lead="Negative prompts:")
    for methods, note in comparison.notes():
        say(note, lead=f"{methods}:")
    say(comparison.about)
