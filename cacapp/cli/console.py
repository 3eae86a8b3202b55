"""What the commands print: results on stdout, progress, warnings and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bar
    from rich.progress import TaskID
    from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class ConsoleProgress:
    """A bar with time left on a terminal, plain warnings elsewhere. ``quiet`` shows neither bar nor warnings' counts, only errors."""

    def __init__(self, bar: Bar | None, quiet: bool) -> None:
        self._bar, self._quiet = bar, quiet
        self._task: TaskID | None = None
        self.warnings: list[str] = []

    def start(self, what: str, total: int) -> None:
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(escape(what), total=total or None, note="")

    def advance(self, note: str = "") -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, note=escape(note))

    def warn(self, line: str) -> None:
        self.warnings.append(line)
        if not self._quiet:
            say_error("warning", line)


@contextmanager
def progress(quiet: bool) -> Iterator[ConsoleProgress]:
    """Progress on stderr while the body runs."""
    if quiet or not err.is_terminal:
        yield ConsoleProgress(None, quiet)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        yield ConsoleProgress(bar, quiet)


def say_error(kind: str, line: str) -> None:
    """One line on stderr, never wrapped into the middle of a path."""
    style = "bold red" if kind == "error" else "yellow"
    err.print(f"[{style}]{kind}:[/] {escape(' '.join(line.split()))}", soft_wrap=True)


def say(line: str, quiet: bool = False) -> None:
    """A line on stdout, unless quiet."""
    if not quiet:
        out.print(line, soft_wrap=True)


def print_json(value: Any) -> None:
    """JSON on stdout, for scripts."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False, default=_plain)
    sys.stdout.write("\n")


def table(
    title: str | None, columns: Iterable[str | tuple[str, str]], rows: Iterable[Sequence[object]], caption: str | None = None
) -> Table:
    """A rich table; a column given as (name, "right") is right-aligned."""
    from rich import box
    from rich.table import Table as RichTable

    result = RichTable(title=title, caption=caption, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", pad_edge=False)
    for column in columns:
        name, justify = (column, "left") if isinstance(column, str) else column
        result.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        result.add_row(*("–" if value is None else value if isinstance(value, str) else str(value) for value in row))
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    return str(value)
