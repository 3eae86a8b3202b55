"""``cacapp compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say
from cacapp.cli.tables import Column, Value, print_table

if TYPE_CHECKING:
    from cacapp.fish.confusion import Share
    from cacapp.steps.compare.counts import Comparison


def compare(
    run: Annotated[int, typer.Argument(metavar="RUN", help="A count run (see: cacapp runs list).")],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH.csv",
            help="A person's counts. Columns: frame; y and x (px), or label; one for each channel of the assay (aqua, green, gold, red); "
            "optionally class. Others are ignored.",
        ),
    ],
    by: Annotated[str, typer.Option("--match", metavar="auto|position|label", help="How the nuclei are matched with the run's.")] = "auto",
    coordinates: Annotated[
        str,
        typer.Option("--coordinates", metavar="px|um|px-exchanged|um-exchanged", help="What y and x are; exchanged: the column y holds x."),
    ] = "px",
    worst: Annotated[int, typer.Option("--worst", min=0, help="Number of cells to list that differ most.")] = 20,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for comparison.json, cells.csv and worst.png.")] = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare a count run with a person's counts: tables of counts and classes, CAC sensitivity and specificity, and the worst cells."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.compare.counts import compare as step

    with progress(quiet) as bar:
        found = step(open_database(db, create=False), run, truth, by=by, coordinates=coordinates, worst_cells=worst, out=out, progress=bar)
    if json:
        print_json(found.record())
    elif not quiet:
        _print(found)
        if out is not None:
            say(f"comparison.json, cells.csv and worst.png in {out}", lead="Written:")


def _print(found: Comparison) -> None:
    from cacapp.fish.confusion import BINS, NOT_EVALUABLE
    from cacapp.report.wording import plural

    a = found.agreement
    evaluable = sum(m.pair.evaluable for m in found.matched)
    total = len(found.matched) + len(found.missed)
    say(
        f"{len(found.matched)} of {plural(total, 'true nucleus', 'true nuclei')} matched by {found.match}, {evaluable} of them evaluable; "
        f"{plural(found.extra, 'cell')} of the run not in the file",
        lead=f"Run {found.run_id}, slide {found.slide}:",
    )
    bins: list[Column] = [(b, "right") for b in BINS]
    for channel, table in a.counts.items():
        rows: list[list[Value]] = [[BINS[i], *(int(n) or "·" for n in line)] for i, line in enumerate(table) if line.any()]
        print_table(["true \\ counted", *bins], rows, title=f"{channel}: {_share(a.exact[channel])} exact", airy=False)
    called = [c for c in (*found.assay.class_names, "uncertain", NOT_EVALUABLE) if any(k[1] == c for k in a.classes)]
    true = [c for c in found.assay.class_names if any(k[0] == c for k in a.classes)]
    lines: list[list[Value]] = [[t, *(a.classes.get((t, c), 0) or "·" for c in called)] for t in true]
    print_table(["true \\ called", *((c, "right") for c in called)], lines, title="Classes", airy=False)
    figures: list[list[Value]] = [
        ["sensitivity", _share(a.sensitivity), "true CACs called CAC, of the evaluable ones"],
        ["specificity", _share(a.specificity), "other nuclei not called CAC, of the evaluable ones"],
        ["found", _share(a.found), "true CACs called CAC, of all in the file"],
        ["caught", _share(a.caught), "true CACs called CAC or sent to review, of all in the file"],
    ]
    print_table(["CACs", "share (95 % exact interval)", "meaning"], figures, airy=False)
    if found.worst:
        chosen = [found.matched[i] for i in found.worst]
        cells: list[list[Value]] = []
        for m in chosen:
            truth, counted = ("-".join(map(str, c)) for c in (m.pair.truth, m.pair.counted))
            remark = m.cell.review_reason
            cells.append([m.cell.frame, m.cell.label, truth, counted, m.pair.true_class, m.pair.called_class, remark])
        order = "-".join(found.assay.channels)
        columns: list[Column] = ["frame", ("cell", "right"), "truth", "counted", "true class", "called", "review"]
        print_table(columns, cells, title="Worst cells", caption=f"signals in the order {order}", airy=False)


def _share(share: Share) -> str:
    if share.share is None:
        return "– (none)"
    low, high = share.interval
    return f"{100 * share.share:.2f} % ({100 * low:.2f}–{100 * high:.2f}; {share.k} of {share.n})"
