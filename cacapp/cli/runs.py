"""``cacapp runs list | show``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cacapp.cli import capsule
from cacapp.cli import options as o
from cacapp.cli.console import print_json, say
from cacapp.cli.tables import Column, print_table

app = typer.Typer(help="What was run, with which algorithms, and how each frame fared.", no_args_is_help=True)


@app.command("list")
def list_runs(
    slide: o.SlideFilter = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many, the latest.")] = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Runs, the latest first."""
    from cacapp.db.queries import runs
    from cacapp.db.session import open_database

    with open_database(db, create=False).reading() as session:
        found = runs(session, slide, limit)
    if json:
        print_json([_record(r) for r in found])
        return
    rows = [
        [
            r.run.id,
            r.run.step,
            r.slide,
            r.patient,
            r.run.status,
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
    """One run: its algorithms, parameters and fingerprint, and the state of each frame."""
    from cacapp.db.queries import run_details
    from cacapp.db.session import open_database

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
        "status": r.status,
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


def _frames(states: dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in states.items())


def _algorithms(algorithms: dict[str, Any]) -> str:
    return " → ".join(one["name"] for one in algorithms.get("chosen", []))


def _record(summary: Any) -> dict[str, Any]:
    return {"slide": summary.slide, "patient": summary.patient, "frames": summary.frames, **summary.run.model_dump()}


capsule.add_to(app)
