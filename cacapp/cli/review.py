"""``cacapp review``: start the review server."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import typer

from cacapp.cli import options as o
from cacapp.cli.console import say, say_warning
from cacapp.exceptions import CacappError, UsageError

INSTALL = "pip install 'cacapp[review]'"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def review(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; any other than loopback needs a TLS proxy.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8350,
    single_user: Annotated[bool, typer.Option("--single-user", help="One user on this computer: a one-time link, no login.")] = False,
    user: Annotated[
        str | None, typer.Option("--user", help="Your name in the record, in single-user mode.", show_default="your login name")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A host name that browsers may use; may be repeated."),
    ] = None,
    behind_tls: Annotated[bool, typer.Option("--behind-tls", help="Behind a TLS proxy: cookies are sent over TLS only.")] = False,
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", metavar="ADDRESS", help="Address of the TLS proxy: its X-Forwarded-For is believed; may be repeated."),
    ] = None,
    idle_minutes: Annotated[int, typer.Option("--idle-minutes", min=1, max=720, help="Log out after this many minutes without use.")] = 30,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for the pictures of cells.", show_default="the user's cache folder")
    ] = None,
    db: o.Db = None,
    quiet: o.Quiet = False,
) -> None:
    """Start the server on which people review flagged cells in the browser, decide and sign."""
    require_extra()
    if single_user and host not in LOOPBACK:
        raise UsageError(
            f"--single-user is for this computer only, and --host {host} is open to others: create accounts with cacapp users add"
        )
    if user is not None and not single_user:
        raise UsageError("--user goes with --single-user; accounts log in by name")
    from cacapp.db.engine.session import open_database
    from cacapp.db.review.accounts import accounts
    from cacapp.review.serve import cache_folder, owner_account, serve
    from cacapp.review.settings import LOOPBACK as NAMES
    from cacapp.review.settings import Settings

    record = open_database(db, create=False)
    once = None
    owner = None
    if single_user:
        owner, once = owner_account(record, user)
    else:
        with record.reading() as session:
            if not any(a.active and a.role != "owner" for a in accounts(session)):
                raise CacappError(
                    "there are no accounts yet; create one with: cacapp users add NAME --role pathologist, or start with --single-user"
                )
    _check_network(host, behind_tls, proxy or [], quiet)
    settings = Settings(
        cache=cache_folder(record, cache),
        hosts=(*NAMES, *([host] if host not in ("0.0.0.0", "::") else []), *(n.lower() for n in allow_host or ())),  # noqa: S104
        https=behind_tls,
        proxies=tuple(_network(given) for given in proxy or ()),
        idle=timedelta(minutes=idle_minutes),
        owner=owner,
    )
    place = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    say(f"{place}/once/{once}" if once else place, lead="Open" if once else "Review at")
    if once:
        say(f"The link works once; decisions are recorded under {owner}. Ctrl-C stops the server.", quiet)
    serve(record, settings, host, port, once)


def _check_network(host: str, behind_tls: bool, proxies: list[str], quiet: bool) -> None:
    """Warn about what is open to others. Raises UsageError for a proxy without --behind-tls."""
    if host not in LOOPBACK and not behind_tls:
        say_warning(f"{host} is open to others without TLS: passwords and pictures are readable on the network; see docs/review.md", quiet)
    if proxies and not behind_tls:
        raise UsageError("--proxy goes with --behind-tls")
    if behind_tls and not proxies:
        say_warning(
            "without --proxy no X-Forwarded-For is believed: the audit page names the proxy's address for all, and the wrong passwords "
            "of all people count together; name it, as in --proxy 127.0.0.1",
            quiet,
        )


def _network(given: str) -> str:
    """Return an address or a network. Raises UsageError for anything else."""
    try:
        ip_network(given, strict=False)
    except ValueError:
        raise UsageError(f"--proxy {given}: give an IP address, or a network as in 10.0.0.0/24") from None
    return given


def require_extra() -> None:
    """Raise CacappError if the web packages are not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("fastapi", "uvicorn", "argon2", "multipart", "xstatic", "js_lib_htmx") if find_spec(name) is None]
    if missing:
        raise CacappError(f"the review application needs further packages ({', '.join(missing)} not found): {INSTALL}")
