"""``cacapp users add | list | disable | enable | passwd``."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, say
from cacapp.cli.tables import Value, print_table
from cacapp.exceptions import UsageError

app = typer.Typer(help="Accounts of the review application.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.")]


@app.command("add")
def add(
    name: Name,
    role: Annotated[str, typer.Option("--role", metavar="viewer|reviewer|pathologist|admin", help="What the account may do.")],
    db: o.Db = None,
    quiet: o.Quiet = False,
) -> None:
    """Make an account. The password is asked for, or read as a line from standard input."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.review.accounts import ROLES, add_account

    if role not in ROLES:
        raise UsageError(f"--role {role}: choose one of {', '.join(ROLES)}")
    record = open_database(db)
    add_account(record, name, role, _password(name), by=_operator())
    say(f"account {name}, {role}", quiet)


@app.command("list")
def list_(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """The accounts with their roles."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.accounts import accounts

    with open_database(db, create=False).reading() as session:
        found = accounts(session)
    if json:
        print_json([{"name": a.name, "role": a.role, "active": a.active, "created_at": a.created_at} for a in found])
    elif not found:
        say("no accounts yet; make one with: cacapp users add NAME --role reviewer", quiet)
    elif not quiet:
        rows: list[list[Value]] = [[a.name, a.role, "active" if a.active else "disabled", f"{a.created_at:%Y-%m-%d}"] for a in found]
        print_table(["name", "role", "state", "made"], rows, airy=False)


@app.command("disable")
def disable(name: Name, db: o.Db = None, quiet: o.Quiet = False) -> None:
    """Lock an account out, at once and everywhere. What it decided stays in the record."""
    _switch(db, name, False)
    say(f"account {name} is disabled, its sessions and tokens are ended", quiet)


@app.command("enable")
def enable(name: Name, db: o.Db = None, quiet: o.Quiet = False) -> None:
    """Let a disabled account in again."""
    _switch(db, name, True)
    say(f"account {name} is active", quiet)


@app.command("passwd")
def passwd(name: Name, db: o.Db = None, quiet: o.Quiet = False) -> None:
    """Set a new password, asked for or read from standard input; the account is logged out everywhere."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.accounts import require_account
    from cacapp.steps.review.accounts import set_password

    record = open_database(db, create=False)
    with record.reading() as session:
        require_account(session, name)
    set_password(record, name, _password(name), by=_operator())
    say(f"account {name} has a new password", quiet)


def _switch(db: str | None, name: str, active: bool) -> None:
    from cacapp.db.engine.session import open_database
    from cacapp.steps.review.accounts import set_active

    set_active(open_database(db, create=False), name, active, by=_operator())


def _operator() -> str:
    """Who is at the command line, for the audit trail."""
    try:
        return f"{getpass.getuser()} at the command line"
    except (KeyError, OSError):
        return "the command line"


def _password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("Again: ") != password:
        raise UsageError("the two passwords differ; nothing was changed")
    return password
