"""``cacapp runs list | show | resume | retry | cancel``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import capsule
from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say
from cacapp.cli.tables import Column, Value, print_table
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from cacapp.db.engine.session import Database
    from cacapp.db.queries import RunSummary
    from cacapp.runs.unfinished import Unfinished

Retries = Annotated[
    int | None,
    typer.Option(
        "--retries",
        min=0,
        help="Tries after the first, before a frame is quarantined.",
        show_default="as it was begun",
        rich_help_panel=o.EXECUTION,
    ),
]

app = typer.Typer(help="Runs, their algorithms, and the state of each frame.", no_args_is_help=True)


@app.command("list")
def list_runs(
    slide: o.SlideFilter = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many, the latest.")] = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """List runs, the latest first."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.queries import runs

    with open_database(db, create=False).reading() as session:
        found = runs(session, slide, limit)
    if json:
        print_json([_record(r) for r in found])
        return
    rows: list[list[Value]] = [
        [
            r.run.id,
            r.run.step,
            r.slide,
            r.patient,
            _status(r.run),
            _frames(r.frames),
            _algorithms(r.run.algorithms),
            f"{r.run.started_at:%Y-%m-%d %H:%M}",
        ]
        for r in found
    ]
    columns: list[Column] = [("run", "right"), "step", "slide", "patient", "status", "frames", "algorithms", "started (UTC)"]
    if rows and not quiet:
        print_table(columns, rows, airy=False)
    else:
        say("no runs yet", quiet)


@app.command("show")
def show(
    run: Annotated[int, typer.Argument(help="Number of the run.")], db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False
) -> None:
    """Show a run: its algorithms, parameters and fingerprint, and the state of each frame."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.queries import run_details
    from cacapp.db.runs.lease import describe_owner

    with open_database(db, create=False).reading() as session:
        summary, ledger = run_details(session, run)
    if json:
        lines = [{"frame": x.frame, **x.state.model_dump(exclude={"run_id", "frame_id"})} for x in ledger]
        print_json(_record(summary) | {"ledger": lines})
        return
    if quiet:
        return
    r = summary.run
    facts = {
        "step": r.step,
        "slide": f"{summary.slide} of patient {summary.patient}",
        "status": _status(r),
        "worked on by": describe_owner(r.owner) if r.owner else None,
        "started": f"{r.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "finished": f"{r.finished_at:%Y-%m-%d %H:%M:%S} UTC" if r.finished_at else None,
        "from run": r.source_run_id,
        "assay": f"{r.assay_name} {r.assay_version}" if r.assay_name else None,
        "device, seed": f"{r.device}, {r.seed}",
        "cacapp": r.app_version,
        "fingerprint": r.fingerprint,
    }
    for one in r.algorithms.get("chosen", []):
        params = ", ".join(f"{name}={value}" for name, value in one["params"].items())
        facts[one["kind"]] = f"{one['name']} ({one['distribution']} {one['version']}){': ' if params else ''}{params}"
    print_table(["", ""], [[k, v] for k, v in facts.items() if v is not None], title=f"run {r.id}", airy=False)
    say("")
    rows = [
        [x.frame, x.state.status, x.state.attempts, f"{x.state.seconds:.2f}" if x.state.seconds else None, x.state.error or ""]
        for x in ledger
    ]
    print_table(["frame", "state", ("tries", "right"), ("time, s", "right"), "error"], rows)
    if next_step := _next_step(summary):
        say(next_step)


Run = Annotated[int | None, typer.Argument(metavar="[RUN]", help="Number of the run.", show_default="all")]


@app.command("resume")
def resume(
    run: Run = None,
    workers: o.Workers = None,
    cluster: o.Cluster = None,
    frame_timeout: o.FrameTimeout = None,
    retries: Retries = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Resume interrupted runs with the settings they were begun with, and the steps that were to follow."""
    from cacapp.db.engine.session import open_database
    from cacapp.runs.unfinished import unfinished_request_of, unfinished_requests

    database = open_database(db, create=False)
    found = unfinished_requests(database) if run is None else unfinished_request_of(database, run)
    if not found:
        say("nothing to resume: everything that was begun is finished" if run is None else _state(database, run), quiet or json)
    _resume(found, database, workers, cluster, retries, frame_timeout, db, json, quiet)


@app.command("retry")
def retry(
    run: Run = None,
    failed: Annotated[bool, typer.Option("--failed", help="The frames that failed or are quarantined.")] = False,
    workers: o.Workers = None,
    cluster: o.Cluster = None,
    frame_timeout: o.FrameTimeout = None,
    retries: Retries = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Try failed frames again, as if for the first time, then run the steps that were to follow."""
    from cacapp.db.engine.session import open_database
    from cacapp.runs.unfinished import retry_failed_frames

    if not failed:
        raise UsageError("runs retry needs --failed: only frames that failed are tried again (a command with --force does all of them)")
    database = open_database(db, create=False)
    found = retry_failed_frames(database, run)
    if not found:
        say("no frame failed" + (f" in run {run}" if run is not None else ""), quiet or json)
    _resume(found, database, workers, cluster, retries, frame_timeout, db, json, quiet)


@app.command("cancel")
def cancel(run: Annotated[int, typer.Argument(help="Number of the run.")], db: o.Db = None, quiet: o.Quiet = False) -> None:
    """Cancel a run: it is not continued, and its results are not used. A process that works on it stops."""
    from cacapp.db.engine.session import open_database
    from cacapp.runs.unfinished import cancel_run

    say(cancel_run(open_database(db, create=False), run), quiet)


def _resume(
    found: Sequence[Unfinished],
    database: Database,
    workers: int | None,
    cluster: str | None,
    retries: int | None,
    frame_timeout_s: float | None,
    db: str | None,
    json: bool,
    quiet: bool,
) -> None:
    from cacapp.cli.execute import print_result
    from cacapp.steps.pipeline import resume_all

    with progress(quiet) as bar:
        result = resume_all(database, found, bar, workers=workers, cluster=cluster, retries=retries, frame_timeout_s=frame_timeout_s)
    print_result(result, db, json, quiet)


def _state(database: Database, run_id: int) -> str:
    from cacapp.db.queries import run_details

    with database.reading() as session:
        summary, _ = run_details(session, run_id)
    return _next_step(summary) or f"run {run_id} is finished ({summary.run.status}); nothing to resume"


def _status(run: Any) -> str:
    """Return the stored status, or "interrupted" for an unfinished run that no process owns."""
    from cacapp.db.runs.lease import is_dead

    interrupted = run.status == "running" and (run.owner is None or is_dead(run.owner))
    return "interrupted" if interrupted else str(run.status)


def _next_step(summary: RunSummary) -> str | None:
    """Return how to get the missing frames, in a line."""
    from cacapp.report.wording import plural

    missing, number = sum(n for state, n in summary.frames.items() if state != "done"), summary.run.id
    if not missing and summary.run.status != "running":
        return None
    if summary.run.status == "running":
        return f"{plural(missing, 'frame')} still to be done; if it was stopped: cacapp runs resume {number}"
    if summary.run.status == "cancelled":
        return None
    of = sum(summary.frames.values())
    return f"{missing} of {plural(of, 'frame')} missing from the results; try them again: cacapp runs retry --failed {number}"


def _frames(states: dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in states.items())


def _algorithms(algorithms: dict[str, Any]) -> str:
    return " → ".join(one["name"] for one in algorithms.get("chosen", []))


def _record(summary: Any) -> dict[str, Any]:
    return {"slide": summary.slide, "patient": summary.patient, "frames": summary.frames, **summary.run.model_dump()}


capsule.add_to(app)
