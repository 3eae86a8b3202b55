"""``cacapp users add | list | disable | enable | passwd | role | token | tokens``."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer
from rich.text import Text

from cacapp.cli import options as o
from cacapp.cli.console import err, print_json, say
from cacapp.cli.tables import Value, print_table
from cacapp.exceptions import UsageError

app = typer.Typer(help="Accounts of the review application, and their API tokens.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.")]


@app.command("add")
def add(
    name: Name,
    role: Annotated[str, typer.Option("--role", metavar="viewer|reviewer|pathologist|admin", help="What the account may do.")],
    db: o.Db = None,
    quiet: o.Quiet = False,
) -> None:
    """Create an account. Asks for the password, or reads it as a line from standard input."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.review.accounts import add_account
    from cacapp.steps.review.roles import ROLES

    if role not in ROLES:
        raise UsageError(f"--role {role}: choose one of {', '.join(ROLES)}")
    record = open_database(db)
    add_account(record, name, role, _password(name), by=_operator())
    say(f"account {name}, {role}", quiet)


@app.command("list")
def list_(db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the accounts with their roles."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.accounts import accounts

    with open_database(db, create=False).reading() as session:
        found = accounts(session)
    if json:
        print_json([{"name": a.name, "role": a.role, "active": a.active, "created_at": a.created_at} for a in found])
    elif not found:
        say("no accounts yet; create one with: cacapp users add NAME --role reviewer", quiet)
    elif not quiet:
        rows: list[list[Value]] = [[a.name, a.role, "active" if a.active else "disabled", f"{a.created_at:%Y-%m-%d}"] for a in found]
        print_table(["name", "role", "state", "created"], rows, airy=False)


@app.command("disable")
def disable(name: Name, db: o.Db = None, quiet: o.Quiet = False) -> None:
    """Lock an account, and end its sessions and tokens. Its decisions stay in the database."""
    _set_active(db, name, False)
    say(f"account {name} is disabled, its sessions and tokens are ended", quiet)


@app.command("enable")
def enable(name: Name, db: o.Db = None, quiet: o.Quiet = False) -> None:
    """Unlock a disabled account."""
    _set_active(db, name, True)
    say(f"account {name} is active", quiet)


@app.command("passwd")
def passwd(name: Name, db: o.Db = None, quiet: o.Quiet = False) -> None:
    """Set a new password, typed in or read from standard input; ends the account's sessions and tokens."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.accounts import require_account
    from cacapp.steps.review.accounts import set_password

    record = open_database(db, create=False)
    with record.reading() as session:
        require_account(session, name)
    set_password(record, name, _password(name), by=_operator())
    say(f"account {name} has a new password", quiet)


@app.command("role")
def role(
    name: Name,
    role: Annotated[str, typer.Option("--role", metavar="viewer|reviewer|pathologist|admin", help="What the account may do from now on.")],
    db: o.Db = None,
    quiet: o.Quiet = False,
) -> None:
    """Give an account another role; ends its sessions and tokens."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.review.accounts import set_role

    set_role(open_database(db, create=False), name, role, by=_operator())
    say(f"account {name}, {role}; its sessions and tokens are ended", quiet)


@app.command("token")
def token(
    name: Name,
    label: Annotated[str, typer.Option("--label", help="What the token is for.")] = "command line",
    days: Annotated[int | None, typer.Option("--days", help="The token is valid for this many days.", show_default="90")] = None,
    write: Annotated[bool, typer.Option("--write", help="The token may also decide on cells.")] = False,
    revoke: Annotated[int | None, typer.Option("--revoke", metavar="NUMBER", help="End this token instead of creating one.")] = None,
    db: o.Db = None,
    quiet: o.Quiet = False,
) -> None:
    """Create a token of an account for the API and print it. It is shown only now: the database stores its digest."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.review.accounts import TOKEN_DAYS, add_token, end_token

    record = open_database(db, create=False)
    if revoke is not None:
        end_token(record, name, revoke, by=_operator())
        _say_on_stderr(f"token {revoke} of account {name} is revoked", quiet)
        return
    created, secret = add_token(record, name, label, _operator(), days=TOKEN_DAYS if days is None else days, can_write=write)
    may = "reads and decides on cells" if write else "reads"
    sys.stdout.write(f"{secret}\n")
    _say_on_stderr(
        f"token {created.id} of account {name} {may}, valid until {created.expires_at:%Y-%m-%d}; keep it, it is not shown again", quiet
    )


@app.command("tokens")
def tokens(name: Name, db: o.Db = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the tokens of an account, the newest first, without their secrets."""
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.accounts import require_account, tokens_of
    from cacapp.steps.review.accounts import token_state

    with open_database(db, create=False).reading() as session:
        found = tokens_of(session, require_account(session, name).id)
    if json:
        print_json(
            [
                {
                    "token": t.id,
                    "label": t.label,
                    "can_write": t.can_write,
                    "state": token_state(t),
                    "created_at": t.created_at,
                    "expires_at": t.expires_at,
                    "revoked_at": t.revoked_at,
                }
                for t in found
            ]
        )
    elif not found:
        say(f"account {name} has no tokens; create one with: cacapp users token {name}", quiet)
    elif not quiet:
        rows: list[list[Value]] = [
            [
                t.id,
                t.label,
                "read, decide" if t.can_write else "read",
                token_state(t),
                f"{t.expires_at:%Y-%m-%d}",
            ]
            for t in found
        ]
        print_table(["token", "label", "may", "state", "expires"], rows, airy=False)


def _set_active(db: str | None, name: str, active: bool) -> None:
    from cacapp.db.engine.session import open_database
    from cacapp.steps.review.accounts import set_active

    set_active(open_database(db, create=False), name, active, by=_operator())


def _say_on_stderr(line: str, quiet: bool) -> None:
    if not quiet:
        err.print(Text(line), soft_wrap=True)


def _operator() -> str:
    """Return the operating system's user, for the audit trail."""
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
