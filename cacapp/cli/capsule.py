"""``cacapp runs capsule | replay | compare``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cacapp.cli import options as o
from cacapp.cli.console import print_json, progress, say, say_warning
from cacapp.cli.execute import load_plugins
from cacapp.cli.tables import Column, Value, print_table
from cacapp.exceptions import CacappError, UsageError

if TYPE_CHECKING:
    from cacapp.steps.capsule.compare import RunComparison, Setting
    from cacapp.steps.capsule.differences import NucleusDifference

DIFFERENT = 1

Worst = Annotated[int, typer.Option("--limit", min=0, metavar="N", help="How many nuclei that differ are listed; --json lists all.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands below ``cacapp runs``."""
    for command in (capsule, replay, compare):
        app.command()(command)


def capsule(
    run: Annotated[int, typer.Argument(metavar="RUN", help="A segment or count run (see: cacapp runs list).")],
    out: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The file to write.")],
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write a run as one file that can be replayed elsewhere: hashes of inputs and weights, parameters, versions, assay, results."""
    from cacapp.db.engine.session import open_database
    from cacapp.report.wording import plural
    from cacapp.steps.capsule.archive import write_capsule

    recorded, sha256 = write_capsule(open_database(db, create=False), run, out)
    runs = [{"run": one.record.number, "step": one.record.step} for one in recorded.runs()]
    cells = recorded.segment.tables["cells"].num_rows
    if json:
        print_json(
            {"file": str(out), "sha256": sha256, "slide": recorded.slide, "runs": runs, "frames": len(recorded.frames), "cells": cells}
        )
        return
    kept = " and ".join(f"{one['step']} run {one['run']}" for one in runs)
    say(
        f"{kept} of slide {recorded.slide}: {plural(len(recorded.frames), 'frame')}, {plural(cells, 'cell')}; SHA-256 {sha256}",
        quiet,
        lead=f"{out}:",
    )


def replay(
    file: Annotated[Path, typer.Argument(metavar="CAPSULE", help="A file written by cacapp runs capsule.")],
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="FOLDER", help="Where to look for the images, by SHA-256.", show_default="where they were"),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights that were trained elsewhere; checked by SHA-256.")
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Read images from the addresses (s3://, https:// ...) in the capsule; only if you trust it.")
    ] = False,
    db: Annotated[
        str | None, typer.Option("--db", help="New database for the replay.", show_default="a temporary one, removed at the end")
    ] = None,
    workers: o.Workers = None,
    limit: Worst = 20,
    no_plugin: o.NoPlugin = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Repeat the runs in a capsule and list the nuclei that differ. Exit codes: 0 none differs, 1 some differ, 2 it cannot be repeated."""
    from cacapp.engine import Engine
    from cacapp.steps.capsule.replay import prepare
    from cacapp.steps.capsule.replay import replay as step
    from cacapp.steps.count import count
    from cacapp.steps.segment import segment

    with _usage_error_where_not_comparable():
        host = load_plugins(no_plugin, quiet)
        with progress(quiet) as bar:
            prepared = prepare(file, host, images, weights, bar, fetch=fetch)
        for step_name in prepared.unrecorded:
            say_warning(f"the capsule's {step_name} run did not record the versions of its packages; only cacapp's are compared", quiet)
        if not json and not quiet:
            _print_settings(prepared.settings, "Settings that differ from the capsule's", "capsule", "here")
        with progress(quiet) as bar, Engine(workers) as engine:
            done = step(prepared, host, segment, count, db, engine, bar)
    found = done.comparison
    if json:
        print_json({"capsule": str(file), "db": done.db, **found.record()})
    elif not quiet:
        _print(found, limit, "the capsule", "the replay")
    _leave(found)


def compare(
    a: Annotated[int, typer.Argument(metavar="A", help="A segment or count run.")],
    b: Annotated[int, typer.Argument(metavar="B", help="A run of the same step over the same frames.")],
    limit: Worst = 20,
    db: o.Db = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare two runs nucleus by nucleus (devices, versions, settings). Exit codes: 0 none differs, 1 some differ, 2 not comparable."""
    from cacapp.db.engine.session import open_database
    from cacapp.steps.capsule.compare import compare_runs

    with _usage_error_where_not_comparable():
        found = compare_runs(open_database(db, create=False), a, b)
    if json:
        print_json({"a": a, "b": b, **found.record()})
    elif not quiet:
        _print_settings(found.settings, f"Settings of runs {a} and {b} that differ", f"A, run {a}", f"B, run {b}")
        _print(found, limit, f"run {a}", f"run {b}")
    _leave(found)


@contextmanager
def _usage_error_where_not_comparable() -> Iterator[None]:
    """Exit with 2 where results cannot be compared, as diff does: 1 means that they differ."""
    try:
        yield
    except CacappError as error:
        raise UsageError(str(error)) from error


def _leave(found: RunComparison) -> None:
    if not found.same:
        raise typer.Exit(DIFFERENT)


def _print_settings(settings: Sequence[Setting], title: str, a: str, b: str) -> None:
    if settings:
        rows: list[list[Value]] = [[s.step, s.name, _short(s.a), _short(s.b)] for s in settings]
        print_table(["step", "what", a, b], rows, title=title, airy=False)
        say("")


def _print(found: RunComparison, limit: int, a: str, b: str) -> None:
    from cacapp.report.wording import plural

    outcome = f"{len(found.nuclei)} differ" if found.nuclei else "none differs"
    say(
        f"{found.step} of slide {found.slide}, {plural(found.frames, 'frame')}: "
        f"{plural(found.nuclei_a, 'nucleus', 'nuclei')} in {a} (A), {found.nuclei_b} in {b} (B); {outcome}",
        lead="Same:" if found.same else "Different:",
    )
    if found.unfinished:
        say(f"{plural(len(found.unfinished), 'frame')} without results in either: {', '.join(found.unfinished[:10])}")
    if found.frame_differences:
        lost: list[list[Value]] = [[f.frame, f.step, f.a, f.b, f.error] for f in found.frame_differences[: limit or None]]
        print_table(["frame", "step", "in A", "in B", "error"], lost, title="Frames with results in one only", airy=False)
    if not found.nuclei:
        return
    kinds: list[list[Value]] = [[kind, n] for kind, n in found.by_kind().items()]
    print_table(["nuclei that differ in", ("number", "right")], kinds, airy=False)
    if limit:
        columns: list[Column] = ["frame", ("in A", "right"), ("in B", "right"), ("IoU", "right"), "difference (A → B)"]
        rows: list[list[Value]] = [[d.frame, d.label_a, d.label_b, f"{d.iou:.3f}", _describe(d)] for d in found.nuclei[:limit]]
        more = len(found.nuclei) - limit
        print_table(columns, rows, caption=f"and {more} more: --limit N, or --json for all" if more > 0 else "", airy=False)


def _describe(one: NucleusDifference) -> str:
    return "; ".join(_kind(kind, a, b) for kind, (a, b) in one.what.items())


def _kind(kind: str, a: Any, b: Any) -> str:
    if kind in ("only in A", "only in B"):
        return f"{kind} ({a or b})"
    if kind == "mask":
        return f"mask {a} → {b} px"
    if kind == "dots":
        return f"dots {a} → {b}" if a != b else f"dots: the same number ({a}), not the same values"
    if kind == "rivals" and isinstance(a, dict) and isinstance(b, dict):
        return f"ambiguous signals {', '.join(f'{k}: {_other_nucleus(a, k)} → {_other_nucleus(b, k)}' for k in {**a, **b})}"
    if isinstance(a, dict) and isinstance(b, dict):
        changed = [f"{k} {_short(a.get(k))} → {_short(b.get(k))}" for k in {**a, **b} if a.get(k) != b.get(k)]
        return f"{kind} {', '.join(changed)}"
    return f"{kind} {_short(a)} → {_short(b)}"


def _other_nucleus(ambiguous: dict[str, Any], signal: str) -> str:
    return _short(ambiguous[signal] or "unsegmented region") if signal in ambiguous else "not ambiguous"


def _short(value: Any) -> str:
    text = "–" if value is None else str(value)
    return f"{text[:12]}..." if len(text) == 64 and not set(text) - set("0123456789abcdef") else text
