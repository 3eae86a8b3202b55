"""``cacapp pseudo-label``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp import defaults
from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say
from cacapp.cli.execute import execute, execution_of, leave, load_plugins
from cacapp.cli.tables import Column, Value, print_table
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from cacapp.db.cells.pseudo_labels import PseudoLabelStats
    from cacapp.db.engine.session import Database
    from cacapp.host import Host
    from cacapp.runs.plan import PseudoLabelPlan
    from cacapp.runs.progress import RunReport
    from cacapp.steps.learning.pseudo_label import RunStats

Slides = Annotated[list[str] | None, typer.Option("--slide", help="Only this slide; may be repeated.")]
FromRun = Annotated[
    int | None,
    typer.Option(
        "--run", metavar="RUN", help="Segment run to judge; with --stats: pseudo-label run to show.", show_default="latest of each slide"
    ),
]
Prompters = Annotated[
    str,
    typer.Option(
        "--prompters", metavar="NAME,...", help="Prompt algorithms whose agreement is recorded, or 'none'.", rich_help_panel=o.ANALYSIS
    ),
]
MinAgreement = Annotated[
    int, typer.Option("--min-agreement", min=0, metavar="N", help="Reject masks that fewer of them agree on.", rich_help_panel=o.ANALYSIS)
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Write a COCO data set: images, annotations, an overview picture.")
]
Stats = Annotated[bool, typer.Option("--stats", help="Show what was rejected and why, without running anything.")]
FillSeed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the noise that rejected regions are filled with in --out.")]


def pseudo_label(
    slides: Slides = None,
    patient: o.PatientFilter = None,
    run: FromRun = None,
    filters: o.Filter = None,
    prompters: Prompters = "watershed,region-growing,split-merge",
    min_agreement: MinAgreement = 0,
    settings: o.Set = None,
    out: Out = None,
    seed: FillSeed = 0,
    stats: Stats = False,
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
    """Judge which masks of a segmentation are one single nucleus, to train a model on them.

    Every reason of every filter is stored. --out writes the accepted masks as a COCO data set, in which rejected regions are filled
    with background.
    """
    from cacapp.db.engine.session import open_database
    from cacapp.report.wording import plural

    database = open_database(db, create=False)
    if stats:
        if out is not None or force:
            raise UsageError("--stats runs nothing; leave out --out and --force")
        _show(database, slides or (), patient, run, json, quiet)
        return
    from cacapp.runs.request import PipelineRequest
    from cacapp.steps.learning.coco import require_folder, write_coco

    host = load_plugins(no_plugin, quiet)
    plan = _plan(host, filters, prompters, min_agreement, settings or ())
    if out is not None:
        require_folder(out)
    execution = execution_of(retries, frame_timeout, force, no_plugin)
    barcodes = tuple(slides or ())
    request = PipelineRequest("pseudo-label", barcodes=barcodes, patient=patient, pseudo_label=plan, run_id=run, execution=execution)
    result = execute(request, host, db, workers, cluster, quiet)
    done = [report.run_id for report in result.reports if report.done]
    data_set = None
    if out is not None and done:
        with progress(quiet) as bar:
            data_set = write_coco(database, done, out, seed, bar)
    judged = [_record(database, report) for report in result.reports]
    for one in judged:
        say(_described(one), quiet or json)
    if json:
        print_json({"runs": judged, "data_set": data_set.record() if data_set else None})
    elif data_set is not None:
        what = f"{plural(data_set.labels, 'label')} on {plural(data_set.images, 'image')}"
        what += f", {plural(data_set.rejected, 'nucleus', 'nuclei')} filled with background"
        say(f"{data_set.folder}: {what}; look at overlay.png", quiet, lead="COCO data set:")
    leave(result, quiet)


def _plan(host: Host, filters: Sequence[str] | None, prompters: str, min_agreement: int, settings: Sequence[str]) -> PseudoLabelPlan:
    """Return the plan with the parameters of ``--set``. Raises UsageError for unknown names and parameters."""
    from cacapp.runs.plan import PseudoLabelPlan, parameters_by_algorithm

    names = tuple(dict.fromkeys(name.strip() for name in prompters.split(",") if name.strip()))
    names = () if names == ("none",) else names
    plan = PseudoLabelPlan(tuple(dict.fromkeys(filters or defaults.FILTERS)), names, min_agreement)
    return plan.with_parameters(parameters_by_algorithm(host, plan.algorithms(), settings))


def _record(database: Database, report: RunReport) -> dict[str, Any]:
    from cacapp.db.cells.pseudo_labels import pseudo_label_stats

    with database.reading() as session:
        found = pseudo_label_stats(session, [report.run_id])
    fields = {name: getattr(report, name) for name in report.__dataclass_fields__ if name != "items"}
    return fields | {"failed": dict(report.failed), "masks": found.cells, "accepted": found.accepted, "rejected": found.rejected}


def _described(run: dict[str, Any]) -> str:
    """Return what a run did, in a line."""
    from cacapp.report.wording import plural

    accepted = f"{run['accepted']} of {plural(run['masks'], 'mask')} accepted"
    if run["repeated"]:
        done = f"already done as run {run['run_id']}, {accepted}, nothing repeated (--force does it again)"
    else:
        failed = f", {len(run['failed'])} failed" if run["failed"] else ""
        done = f"run {run['run_id']}, {run['done']} of {plural(run['frames'], 'frame')}, {accepted}{failed}, {run['seconds']:.1f} s"
    return f"{run['step']} {run['slide']}: {done}"


def _show(database: Database, slides: Sequence[str], patient: str | None, run: int | None, json: bool, quiet: bool) -> None:
    from cacapp.steps.learning.pseudo_label import statistics

    each, total = statistics(database, slides, patient=patient, run_id=run)
    if json:
        print_json({"runs": [_run_record(one) for one in each], "all": _stats_record(total)})
    elif not quiet:
        _print(each, total)


def _run_record(one: RunStats) -> dict[str, Any]:
    own = {
        "slide": one.slide,
        "run_id": one.run_id,
        "segment_run_id": one.segment_run_id,
        "filters": one.filters,
        "prompters": one.prompters,
    }
    return own | _stats_record(one.stats)


def _stats_record(stats: PseudoLabelStats) -> dict[str, Any]:
    return {
        "masks": stats.cells,
        "accepted": stats.accepted,
        "rejected": stats.rejected,
        "reasons": stats.reasons,
        "agreed_by": [{"algorithms": n, "masks": cells, "accepted": accepted} for n, (cells, accepted) in stats.agreed_by.items()],
        "found_by": stats.found_by,
    }


def _print(each: Sequence[RunStats], total: PseudoLabelStats) -> None:
    from cacapp.report.wording import plural

    def share(n: int) -> str:
        return f"{100 * n / total.cells:.1f}" if total.cells else ""

    one = each[0]
    if len(each) == 1:
        title = f"Pseudo-labels of slide {one.slide}: run {one.run_id}, from segment run {one.segment_run_id}"
    else:
        runs: list[list[Value]] = [[r.slide, r.run_id, r.segment_run_id, r.stats.cells, r.stats.accepted, r.stats.rejected] for r in each]
        of_runs: list[Column] = [
            "slide",
            ("run", "right"),
            ("segment run", "right"),
            ("masks", "right"),
            ("accepted", "right"),
            ("rejected", "right"),
        ]
        print_table(of_runs, runs, title="Pseudo-labels", airy=False)
        say("")
        title = f"All {len(each)} slides together"
    say(
        f"{plural(total.cells, 'mask')}: {total.accepted} accepted, {total.rejected} rejected ({share(total.rejected) or 0} %)",
        lead=f"{title}.",
    )
    if total.reasons:
        reasons: list[list[Value]] = [[reason, n, share(n)] for reason, n in total.reasons.items()]
        several = "a mask with several reasons counts in each" if sum(total.reasons.values()) > total.rejected else ""
        print_table(["reason to reject", ("masks", "right"), ("share, %", "right")], reasons, caption=several, airy=False)
    asked = list(dict.fromkeys(name for r in each for name in r.prompters))
    if not asked or not total.cells:
        return
    say("")
    agreed: list[list[Value]] = [
        [f"{n} of {len(asked)}", cells, share(cells), accepted]
        for n in range(len(asked) + 1)
        for cells, accepted in [total.agreed_by.get(n, (0, 0))]
    ]
    heading = "Agreement of prompt algorithms"
    columns: list[Column] = ["found by", ("masks", "right"), ("share, %", "right"), ("accepted", "right")]
    print_table(columns, agreed, title=heading, airy=False)
    say("")
    found: list[list[Value]] = [[name, total.found_by.get(name, 0), share(total.found_by.get(name, 0))] for name in asked]
    print_table(["algorithm", ("masks", "right"), ("share, %", "right")], found, airy=False)
