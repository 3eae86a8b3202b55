"""Commands ``cacapp plugins list | show | new | check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cacapp.cli import options as o
from cacapp.cli.console import out, print_json, progress, say, say_error
from cacapp.cli.tables import print_table
from cacapp.exceptions import UsageError

if TYPE_CHECKING:
    from cacapp.cli.tables import Value
    from cacapp.host import Parameter
    from cacapp.testing import Verdict

app = typer.Typer(help="Algorithms: installed ones, their origin, and their parameters.", no_args_is_help=True)


@app.command("list")
def list_plugins(no_plugin: o.NoPlugin = None, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List all algorithms by kind, and on stderr plugins that cannot be used. Exit code 1 if there are any."""
    from cacapp.host import Host, read_settings

    host = Host.discover(no_plugin or (), read_settings())
    found = host.algorithms()
    if json:
        records = [
            {"kind": r.kind, "name": r.name, "plugin": r.plugin, "distribution": r.distribution, "version": r.version} for r in found
        ]
        print_json({"algorithms": records, "problems": [str(p) for p in host.problems]})
    elif not quiet:
        rows = [[r.kind, r.name, _summary(r.cls), f"{r.distribution} {r.version}"] for r in found]
        print_table(["kind", "name", "what it does", "from"], rows)
    for problem in host.problems:
        say_error(str(problem))
    if host.problems:
        raise typer.Exit(1)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of an algorithm.")],
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="prompter|segmenter|filter|signal-detector|reader", help="Kind, if several have this name."),
    ] = None,
    no_plugin: o.NoPlugin = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Show an algorithm: description, origin, and parameters with units, defaults and bounds."""
    from cacapp.host import KINDS, Host, parameters, read_settings

    host = Host.discover(no_plugin or (), read_settings())
    kinds = [kind] if kind else sorted({r.kind for r in host.algorithms() if r.name == name})
    if kind and kind not in KINDS:
        raise UsageError(f"--kind {kind}: choose one of {', '.join(KINDS)}")
    if not kinds:
        names = sorted({r.name for r in host.algorithms()})
        failed = "; ".join(str(p) for p in host.problems)
        raise UsageError(f"no algorithm named {name!r}; there are {', '.join(names)}{'; not loaded: ' + failed if failed else ''}")
    records = []
    for one in kinds:
        found = host.find(one, name)
        rows = parameters(found.cls)
        if json:
            record: dict[str, Any] = {
                "kind": one,
                "name": name,
                "plugin": found.plugin,
                "distribution": found.distribution,
                "version": found.version,
            }
            fields = [{n: getattr(p, n) for n in p.__dataclass_fields__} for p in rows]
            records.append(record | {"description": found.cls.__doc__, "parameters": fields})
            continue
        say(f"{one}, {found.origin}", quiet, lead=name)
        if not quiet:
            out.print(Text(" ".join((found.cls.__doc__ or "").replace("``", "").split())))
        if rows and not quiet:
            lines = [[p.name, p.default, p.bounds, _meaning(p)] for p in rows]
            print_table(["parameter", ("default", "right"), "bounds", "what it is"], lines)
    if json:
        print_json(records)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the package: lower case with dashes, e.g. acme-nuclei.")],
    kinds: Annotated[
        list[str],
        typer.Option("--kind", metavar="prompter|segmenter|filter|signal-detector|reader", help="Kind of algorithm; may be repeated."),
    ],
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Parent folder of the package.")] = Path(),
    no_plugin: o.NoPlugin = None,
    quiet: o.Quiet = False,
) -> None:
    """Write a package with a small working algorithm, its tests, README and licence, as a start for your own."""
    from cacapp.host import Host
    from cacapp.steps.plugins.new import new_plugin

    files = new_plugin(Host.discover(no_plugin or ()), name, kinds, into)
    home = into / name
    for path in files:
        say(str(path), quiet)
    say(f"next: pip install --editable '{home}[dev]'; pytest {home}; cacapp plugins check {name}", quiet)


@app.command("check")
def check(
    distribution: Annotated[str | None, typer.Argument(metavar="[DIST]", help="A distribution; default: all but cacapp.")] = None,
    algorithm: Annotated[str | None, typer.Option("--algorithm", metavar="NAME", help="Check only this algorithm.")] = None,
    settings: o.Set = None,
    memory_mb: Annotated[
        int, typer.Option("--memory-mb", min=64, metavar="MB", help="Memory limit of a process that works on a whole frame.")
    ] = 4096,
    timeout: Annotated[float, typer.Option("--timeout", min=1, metavar="S", help="Time limit of each claim.")] = 300,
    train: Annotated[
        bool,
        typer.Option("--train", help="First train trainable algorithms without weights, on simulated nuclei and without these limits."),
    ] = False,
    file: Annotated[
        list[Path] | None, typer.Option("--file", metavar="FILE", help="File to try a reader with that cannot write one; may be repeated.")
    ] = None,
    no_plugin: o.NoPlugin = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check the contract of every algorithm of a plugin, with one verdict per claim. Exit code 1 if a claim is broken."""
    from cacapp.host import Host, read_settings
    from cacapp.steps.plugins.check import check_plugins

    host = Host.discover(no_plugin or (), read_settings())
    with progress(quiet or json) as bar:
        found = check_plugins(
            host, distribution, algorithm, settings or (), memory_mb=memory_mb, claim_s=timeout, train=train, files=file or (), progress=bar
        )
    if json:
        print_json(found.record())
    elif not quiet:
        for one in found.checked:
            print_table(
                ["verdict", "claim", ("s", "right")], map(_row, one.verdicts), title=f"{one.kind} {one.name}, {one.origin}", airy=False
            )
            out.print()
    for problem in found.problems:
        say_error(problem)
    for one in found.checked:
        broken = sum(v.broken is not None for v in one.verdicts)
        if broken:
            hint = "; it may want weights: --train, or --set weights=FILE" if one.untrained else ""
            say_error(f"{one.kind} {one.name!r}, {one.origin}: {broken} of {len(one.verdicts)} claims are broken{hint}")
    if not found.holds:
        raise typer.Exit(1)
    say("every claim holds", quiet or json)


def _row(verdict: Verdict) -> list[Value]:
    if verdict.broken is None:
        return [Text("holds", "green"), verdict.claim, f"{verdict.seconds:.1f}"]
    return [Text("broken", "bold red"), f"{verdict.claim}\n{verdict.broken}", f"{verdict.seconds:.1f}"]


def _meaning(parameter: Parameter) -> str:
    """Return the description of a parameter, with the type if it is not a number."""
    return parameter.description if parameter.type in ("number", "integer") else f"{parameter.description} ({parameter.type})"


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n")[0]
