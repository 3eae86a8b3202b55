"""``cacapp db upgrade | status | check | head | backup | copy | prune``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say, say_error

if TYPE_CHECKING:
    from cacapp.steps.record.prune import PruneReport

app = typer.Typer(help="The database: its schema, its health, copies of it.", no_args_is_help=True)


@app.command("upgrade")
def upgrade(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Upgrade the schema to this version, or create the database."""
    from cacapp.db.engine.session import database_url
    from cacapp.db.engine.session import upgrade as work

    state = work(database_url(db))
    if json:
        print_json({"current": state.current, "head": state.head, "up_to_date": state.up_to_date})
    say(f"schema {state.current}, up to date", quiet or json)


@app.command("status")
def status(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Show the schema's version. Exit code 1 where it needs an upgrade."""
    from cacapp.db.engine.session import database_url
    from cacapp.db.engine.session import status as work

    state = work(database_url(db))
    if json:
        print_json({"current": state.current, "head": state.head, "up_to_date": state.up_to_date})
    hint = "up to date" if state.up_to_date else f"this cacapp wants {state.head}; run: cacapp db upgrade"
    say(f"schema {state.current}, {hint}", quiet or json)
    if not state.up_to_date:
        raise typer.Exit(1)


@app.command("check")
def check(
    files: Annotated[str, typer.Option("--files", metavar="all|sample|none", help="Image files to read and compare.")] = "all",
    head: Annotated[
        str | None, typer.Option("--head", metavar="N:SHA256", help="Head of the chain as `cacapp db head` or a report showed it earlier.")
    ] = None,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check for contradictory rows, changed signatures and decisions, masks that do not decode, and image files that changed.

    Exit code 1 where there are any. With --head also that everything recorded up to that moment is still the same.
    """
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.chain import Head
    from cacapp.exceptions import UsageError
    from cacapp.report.wording import plural
    from cacapp.steps.record.check import check as work

    if files not in ("all", "sample", "none"):
        raise UsageError(f"--files {files}: write all, sample or none")
    with progress(quiet or json) as bar:
        known = None if head is None else Head.of(head)
        found = work(open_database(db, create=False), files, bar, known)  # type: ignore[arg-type]
    if json:
        print_json({**asdict(found), "problems": [asdict(p) for p in found.problems]})
    for problem in found.problems if not json else ():
        say_error(f"{problem.kind}: {problem.what}")
    seen = f"{plural(found.cells, 'cell')}; {found.files_read:,} of {plural(found.files, 'file')} read"
    n = len(found.problems)
    say(f"{plural(n, 'problem') if n else 'nothing wrong'} ({seen}, {found.seconds:.1f} s)", quiet or json)
    if found.problems:
        raise typer.Exit(1)


@app.command("head")
def head(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Print the head of the chain over all decisions, signatures and audit events, for `cacapp db check --head`.

    Keep it outside the database: it proves later that nothing recorded until now was changed.
    """
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.chain import head as work

    with open_database(db, create=False).reading() as session:
        found = work(session)
    if json:
        print_json({"links": found.id if found else 0, "sha256": found.sha256 if found else None, "head": str(found) if found else None})
    say(str(found) if found else "nothing is recorded yet", quiet or json)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New SQLite file, which every command takes with --db.")],
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Copy the database into one SQLite file, while others use it; also from PostgreSQL, where `cacapp db copy` restores it."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.record.backup import backup as work

    with progress(quiet or json) as bar:
        done = work(open_database(db, create=False), file, bar)
    if json:
        print_json({"file": str(done.path), "bytes": done.size, "seconds": round(done.seconds, 3)})
    say(f"{done.path}: {_size(done.size)} in {done.seconds:.1f} s", quiet or json)


@app.command("copy")
def copy(
    target: Annotated[str, typer.Argument(metavar="URL", help="New or empty database: a file, or postgresql://USER@HOST/NAME.")],
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Copy everything into another database, SQLite or PostgreSQL, and compare counts and hashes."""
    from cacapp.db.engine.session import open_database
    from cacapp.report.wording import plural
    from cacapp.steps.record.copy import copy as work

    with progress(quiet or json) as bar:
        done = work(open_database(db, create=False), target, bar)
    if json:
        tables = {name: asdict(content) for name, content in done.tables.items()}
        print_json({"target": done.target, "rows": done.rows, "tables": tables, "seconds": round(done.seconds, 3)})
    filled = sum(content.rows > 0 for content in done.tables.values())
    say(
        f"{done.target}: {plural(done.rows, 'row')} of {plural(filled, 'table')}, read again and the same, in {done.seconds:.1f} s",
        quiet or json,
    )


@app.command("prune")
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; without it, only list what would be deleted.")] = False,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Delete superseded runs, and compact the database.

    Runs that a patient's latest result, a signature, a review, a model or a later run needs are kept.
    """
    from cacapp.db.engine.session import open_database
    from cacapp.steps.record.prune import prune as work

    with progress(quiet or json) as bar:
        done = work(open_database(db, create=False), delete=yes, progress=bar)
    if json:
        print_json({**asdict(done), "bytes_freed": done.bytes_before - done.bytes_after})
    say(_pruned(done), quiet or json)


def _pruned(done: PruneReport) -> str:
    from cacapp.report.wording import plural

    freed = f"freed {_size(max(done.bytes_before - done.bytes_after, 0))} of {_size(done.bytes_before)}"
    if not done.runs:
        return "nothing to prune: no run is superseded" + (f"; {freed} by compacting" if done.done else "")
    numbers = ", ".join(str(run.run_id) for run in reversed(done.runs))
    of_cells, of_signals = (plural(done.rows.get(table, 0), table) for table in ("cell", "signal"))
    rows = f"{plural(sum(done.rows.values()), 'row')} ({of_cells}, {of_signals})"
    what = f"run{'s' * (len(done.runs) > 1)} {numbers} with {rows}"
    if not done.done:
        return f"would delete {what}; cacapp db prune --yes does it, cacapp db backup FILE keeps a copy"
    return f"deleted {what}; {freed}"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
