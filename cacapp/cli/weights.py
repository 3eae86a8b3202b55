"""``cacapp weights list | pull | add | verify``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cacapp.cli import options as o
from cacapp.cli.console import err, print_json, say, say_error, say_warning
from cacapp.cli.tables import print_table
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cacapp.weights.cache import Verdict
    from cacapp.weights.digest import Meter
    from cacapp.weights.registry import Entry

app = typer.Typer(help="Model weights: list, download, add from a file, verify.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Weights, by their name in: cacapp weights list")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked, for scripts.")]


@app.command("list")
def list_weights(json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List all known weights, their size and licence, and whether they are on this machine."""
    from cacapp.weights import cache
    from cacapp.weights.registry import entries

    known = entries().values()
    if json:
        print_json({"folder": str(cache.folder()), "weights": [_record(entry) for entry in known]})
        return
    if quiet:
        return
    rows = [[entry.name, entry.description, _bytes(_size(entry)), entry.licence, _state(entry)] for entry in known]
    print_table(["name", "what", ("size", "right"), "licence", "state"], rows, caption=f"kept in {cache.folder()}")


@app.command("pull")
def pull(name: Name, yes: Yes = False, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Download weights. The licence is shown and asked for first; an interrupted download resumes."""
    from cacapp.weights import cache
    from cacapp.weights.pull import pull as download
    from cacapp.weights.registry import find

    entry = find(name)
    if cache.where(entry) != "here" and entry.url is not None:
        _ask(entry, yes, quiet)
    with _meter(quiet) as meter:
        path = download(entry, meter)
    _report(entry, path, json, quiet)


@app.command("add")
def add(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file, copied to this machine by other means.")],
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Add weights from a file; it is checked against the published size and digest."""
    from cacapp.weights.cache import add as copy_in
    from cacapp.weights.registry import find

    entry = find(name)
    with _meter(quiet) as meter:
        path = copy_in(name, file, meter)
    _report(entry, path, json, quiet)


@app.command("verify")
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Weights; all that are here by default.")] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare weights with their published digest. Exit code 1 where one is damaged or NAME is not here."""
    from cacapp.weights import cache
    from cacapp.weights.registry import entries, find

    chosen = [find(name)] if name else [entry for entry in entries().values() if cache.where(entry) in ("here", "embedded")]
    with _meter(quiet) as meter:
        verdicts = [cache.verify(entry, meter) for entry in chosen]
    if json:
        print_json({"weights": [_record(v.entry) | {"finding": v.finding, "sha256_found": v.sha256, "why": v.why} for v in verdicts]})
    else:
        for verdict in verdicts:
            _say_verdict(verdict, quiet)
        if not verdicts:
            say("no weights are here", quiet)
    failed = [v for v in verdicts if v.finding in ("damaged", "not here")]
    for verdict in failed:
        say_error(_failure(verdict))
    if failed:
        raise typer.Exit(1)


def _say_verdict(verdict: Verdict, quiet: bool) -> None:
    if verdict.finding == "whole":
        say(f"whole, SHA-256 {verdict.sha256}", quiet, lead=verdict.entry.name)
    elif verdict.finding == "unchecked":
        say_warning(f"{verdict.entry.name}: {verdict.why}, so it cannot be checked; its own is {verdict.sha256}", quiet)


def _failure(verdict: Verdict) -> str:
    from cacapp.weights.cache import how_to_get

    entry = verdict.entry
    way = "install cacapp anew" if entry.embedded else how_to_get(entry)
    if verdict.finding == "not here":
        return f"weights {entry.name!r} are {verdict.why or 'not here'}: {way}"
    return f"{verdict.path} is not the published file of {entry.name!r}: {verdict.why}; {'' if entry.embedded else 'remove it, then '}{way}"


def _ask(entry: Entry, yes: bool, quiet: bool) -> None:
    """Show file and licence, and ask for consent. Raises UsageError in a script without --yes; exits with 1 on a no."""
    if not (quiet and yes):
        size = f", {_bytes(entry.size_bytes)}" if entry.size_bytes else ""
        err.print(Text.assemble((entry.name, "bold"), f" {entry.description}{size}\nfrom    {entry.url}"), soft_wrap=True)
        err.print(Text(f"licence {entry.licence}: {entry.licence_url}"), soft_wrap=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"weights {entry.name!r} are under {entry.licence} ({entry.licence_url}); to accept that in a script, add --yes")
    if not typer.confirm("Accept the licence and download?", default=False, err=True):
        say("nothing was downloaded", quiet)
        raise typer.Exit(1)


def _report(entry: Entry, path: Path, json: bool, quiet: bool) -> None:
    from cacapp.weights.cache import digest_of

    digest = digest_of(entry.name)
    if json:
        print_json(_record(entry) | {"sha256_found": digest})
        return
    say(f"{path}, SHA-256 {digest}", quiet, lead=entry.name)
    if entry.matches(digest) is None:
        say_warning(f"{entry.name}: no published SHA-256 is known, so the file is recorded but not checked", quiet)


def _record(entry: Entry) -> dict[str, Any]:
    from cacapp.weights import cache

    state = cache.where(entry)
    path = cache.path_of(entry)
    return entry.model_dump() | {"state": state, "path": str(path), "is_here": path.is_file()}


def _size(entry: Entry) -> int | None:
    from cacapp.weights.cache import path_of

    path = path_of(entry)
    return entry.size_bytes or (path.stat().st_size if path.is_file() else None)


def _state(entry: Entry) -> Text:
    from cacapp.weights.cache import part_of, where

    state = where(entry)
    styles = {"embedded": "green", "here": "green", "partly here": "yellow", "missing": "red", "not here": "dim"}
    note = f", {_bytes(part_of(entry).stat().st_size)}" if state == "partly here" else ""
    return Text(state + note, styles[state])


def _bytes(count: int | None) -> str | None:
    """Format a size in decimal units, as for disks and downloads."""
    if count is None:
        return None
    if count < 1_000_000:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.0f} MB" if count < 1_000_000_000 else f"{count / 1e9:.2f} GB"


class _Bar:
    """Progress bar in bytes, with rate and time left."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def start(self, what: str, total_bytes: int | None, done_bytes: int = 0) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total_bytes, completed=done_bytes)

    def advance(self, by_bytes: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, by_bytes)


@contextmanager
def _meter(quiet: bool) -> Iterator[Meter]:
    """Show progress on stderr while the body runs: a bar on a terminal, nothing elsewhere."""
    from cacapp.weights.digest import NoMeter

    if quiet or not err.is_terminal:
        yield NoMeter()
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("left", style="dim"),
    )
    with RichProgress(*columns, console=err, transient=True) as bar:
        yield _Bar(bar)
