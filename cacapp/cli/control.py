"""``cacapp control add | list | show | remove``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, say
from cacapp.cli.tables import Value, print_table

if TYPE_CHECKING:
    from cacapp.steps.control import Normals

app = typer.Typer(help="Slides of healthy donors: the false-CAC rate and the normal cut-offs.", no_args_is_help=True)

Barcodes = Annotated[list[str], typer.Argument(metavar="SLIDE...", help="Barcodes of healthy donors' slides.")]


@app.command("add")
def add(
    slides: Barcodes,
    note: Annotated[str | None, typer.Option("--note", help="Free text kept with the controls.")] = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Register slides as healthy donors'. What is called a CAC on them is a false one."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import add as work

    new = work(open_database(db, create=False), slides, note)
    if json:
        print_json({"added": new, "known": [s for s in dict.fromkeys(slides) if s not in new]})
    for slide in dict.fromkeys(slides):
        say(f"slide {slide} is a control" if slide in new else f"slide {slide} was a control already", quiet or json)


@app.command("remove")
def remove(slides: Barcodes, db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Take slides off the controls; nothing else of them changes."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import remove as work

    gone = work(open_database(db, create=False), slides)
    if json:
        print_json({"removed": gone})
    for slide in gone:
        say(f"slide {slide} is no control any more", quiet or json)


@app.command("list")
def list_(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """The controls with their evaluable nuclei and CACs."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import listed

    found = listed(open_database(db, create=False))
    if json:
        print_json([asdict(line) for line in found])
    elif not found:
        say("no controls yet; register healthy donors' slides with: cacapp control add SLIDE...", quiet)
    elif not quiet:
        rows: list[list[Value]] = [[c.slide, c.donor, c.evaluable, c.cacs, c.method or "not counted yet", c.note] for c in found]
        print_table(["slide", "donor", ("evaluable", "right"), ("CACs", "right"), "counted with", "note"], rows, airy=False)


@app.command("show")
def show(
    cells: Annotated[int, typer.Option("--cells", min=1, help="Nuclei of a patient the cut-off counts are for.")] = 500,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """The false-CAC rate with its exact interval, and the normal cut-offs per class and probe."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.control import normals

    found = normals(open_database(db, create=False), cells)
    if json:
        print_json([_record(n) for n in found])
    elif not quiet:
        for one in found:
            _print(one, cells)


def _record(n: Normals) -> dict[str, Any]:
    return {
        "method": n.method,
        "slides": list(n.slides),
        "donors": n.pool.donors,
        "evaluable": n.pool.evaluable,
        "cacs": n.pool.cacs,
        "rate": n.rate,
        "rate_low": n.rate_low,
        "rate_high": n.rate_high,
        "cutoffs": [asdict(c) for c in n.cutoffs],
    }


def _print(n: Normals, cells: int) -> None:
    slides, donors = len(n.slides), n.pool.donors
    say(f"{n.method}: {slides} slide{'s' * (slides != 1)} of {donors} donor{'s' * (donors != 1)}", lead="Controls")
    per = 10_000
    rate = "no nuclei" if n.rate is None else f"{per * n.rate:.2f} per 10,000 nuclei"
    interval = f"95 % exact interval {per * n.rate_low:.2f} to {per * n.rate_high:.2f}"
    say(f"{n.pool.cacs} of {n.pool.evaluable:,} evaluable nuclei, {rate} ({interval})", lead="False CACs:")
    rows: list[list[Value]] = [
        [c.finding, c.cells, f"{100 * c.share:.3f} %", f"{100 * c.limit:.3f} %", f"{c.limit_cells}"] for c in n.cutoffs
    ]
    print_table(
        ["finding", ("nuclei", "right"), ("share", "right"), ("normal up to", "right"), (f"of {cells} nuclei", "right")],
        rows,
        caption="Normal up to: one-sided exact 95 % limit (BETAINV). Of so many nuclei: largest normal count at the share (CRITBINOM).",
        airy=False,
    )
