"""``cacapp control add | list | show | remove``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, say
from cacapp.cli.tables import Value, print_table

if TYPE_CHECKING:
    from cacapp.steps.control import ControlStatistics

app = typer.Typer(help="Slides of healthy donors: the false-CAC rate and the normal cut-offs.", no_args_is_help=True)

Barcodes = Annotated[list[str], typer.Argument(metavar="SLIDE...", help="Barcodes of healthy donors' slides.")]


@app.command("add")
def add(
    slides: Barcodes,
    note: Annotated[str | None, typer.Option("--note", help="Free text kept with the controls.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Register a slide even where its donor has as many CACs as a patient with increased risk.")
    ] = False,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Register slides of healthy donors. Every cell that is called a CAC on them counts as a false one."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import add as step

    new = step(open_database(db, create=False), slides, note, force=force)
    if json:
        print_json({"added": new, "known": [s for s in dict.fromkeys(slides) if s not in new]})
    for slide in dict.fromkeys(slides):
        say(f"slide {slide} is a control" if slide in new else f"slide {slide} was a control already", quiet or json)


@app.command("remove")
def remove(slides: Barcodes, db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Unregister slides as controls. Their frames, runs and results stay."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import remove as step

    removed = step(open_database(db, create=False), slides)
    if json:
        print_json({"removed": removed})
    for slide in removed:
        say(f"slide {slide} is no longer a control", quiet or json)


@app.command("list")
def list_(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the controls with their evaluable nuclei and CACs."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import list_controls

    found = list_controls(open_database(db, create=False))
    if json:
        print_json([asdict(line) for line in found])
    elif not found:
        say("no controls yet; register healthy donors' slides with: cacapp control add SLIDE...", quiet)
    elif not quiet:
        rows: list[list[Value]] = [[c.slide, c.donor, c.evaluable, c.cacs, c.method or "not counted yet", c.note] for c in found]
        print_table(["slide", "donor", ("evaluable", "right"), ("CACs", "right"), "counted with", "note"], rows, airy=False)


@app.command("show")
def show(
    cells: Annotated[
        int, typer.Option("--cells", min=1, help="Evaluable nuclei of a patient: the largest normal count is for them.")
    ] = 500,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Show the false-CAC rate of the controls with its exact interval, and the normal cut-off of each class and probe."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import control_statistics

    found = control_statistics(open_database(db, create=False), cells)
    if json:
        print_json([_record(one) for one in found])
    elif not quiet:
        for one in found:
            _print(one, cells)


def _record(found: ControlStatistics) -> dict[str, Any]:
    return {
        "method": found.method,
        "slides": list(found.slides),
        "donors": found.pool.donors,
        "evaluable": found.pool.evaluable,
        "cacs": found.pool.cacs,
        "rate": found.rate,
        "rate_low": found.rate_low,
        "rate_high": found.rate_high,
        "cutoffs": [asdict(c) for c in found.cutoffs],
    }


def _print(found: ControlStatistics, cells: int) -> None:
    from cacapp.report.wording import plural

    per, pool = 10_000, found.pool
    say(f"{plural(len(found.slides), 'slide')} of {plural(pool.donors, 'donor')}, counted with {found.method}", lead="Controls:")
    if found.rate is None:
        say("unknown, since the controls have no evaluable nuclei", lead="False CACs:")
    else:
        interval = f"95 % exact interval {per * found.rate_low:.2f} to {per * found.rate_high:.2f}"
        rate = f"{per * found.rate:.2f} per 10,000 nuclei ({interval})"
        say(f"{pool.cacs} of {plural(pool.evaluable, 'evaluable nucleus', 'evaluable nuclei')}, {rate}", lead="False CACs:")
    rows: list[list[Value]] = [
        [c.finding, c.cells, f"{100 * c.share:.3f} %", f"{100 * c.limit:.3f} %", f"{c.limit_cells}"] for c in found.cutoffs
    ]
    print_table(
        [
            "finding",
            ("nuclei", "right"),
            ("share", "right"),
            ("normal share\nup to", "right"),
            (f"normal count of\n{cells} up to", "right"),
        ],
        rows,
        caption="Normal share: one-sided exact 95 % limit (BETAINV). Normal count: largest normal count at the share (CRITBINOM).",
        airy=False,
    )
