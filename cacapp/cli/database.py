"""``cacapp db upgrade | status``."""

from __future__ import annotations

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, say

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command("upgrade")
def upgrade(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Bring the schema up to date, or make the database."""
    from cacapp.db.session import database_url
    from cacapp.db.session import upgrade as work

    state = work(database_url(db))
    if json:
        print_json({"current": state.current, "head": state.head, "up_to_date": state.up_to_date})
    say(f"schema {state.current}, up to date", quiet or json)


@app.command("status")
def status(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """The schema's version; exit code 1 where it needs an upgrade."""
    from cacapp.db.session import database_url
    from cacapp.db.session import status as work

    state = work(database_url(db))
    if json:
        print_json({"current": state.current, "head": state.head, "up_to_date": state.up_to_date})
    hint = "up to date" if state.up_to_date else f"this cacapp wants {state.head}; run: cacapp db upgrade"
    say(f"schema {state.current}, {hint}", quiet or json)
    if not state.up_to_date:
        raise typer.Exit(1)
