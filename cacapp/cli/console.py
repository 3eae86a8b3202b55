"""The console: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class ConsoleProgress:
    """A progress bar with the time left on a terminal, nothing elsewhere; warnings as lines on stderr. ``quiet``: neither."""

    def __init__(self, bar: Bar | None, quiet: bool) -> None:
        self._bar, self._quiet = bar, quiet
        self._task: TaskID | None = None

    def start(self, what: str, total: int) -> None:
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total or None, note="", left="left" if total else "")

    def advance(self, note: str = "", by: int = 1) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=by, note=note)

    def warn(self, line: str) -> None:
        say_warning(line, self._quiet)

    def fail(self, line: str) -> None:
        say_error(line)


@contextmanager
def progress(quiet: bool) -> Iterator[ConsoleProgress]:
    """Show progress on stderr while the body runs; erase the bar at the end."""
    if quiet or not err.is_terminal:
        yield ConsoleProgress(None, quiet)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", style="dim", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=err, transient=True, expand=True) as bar:
        yield ConsoleProgress(bar, quiet)


def say_error(line: str) -> None:
    """Print an error as one line on stderr, never wrapped inside a path."""
    _say_problem("error", "bold red", line)


def say_warning(line: str, quiet: bool = False) -> None:
    """Print a warning as one line on stderr, unless quiet."""
    if not quiet:
        _say_problem("warning", "yellow", line)


def _say_problem(kind: str, style: str, line: str) -> None:
    err.print(Text.assemble((f"{kind}:", style), " ", " ".join(line.split())), soft_wrap=True)


class WarningHandler(logging.Handler):
    """A handler that prints the warnings of cacapp's loggers as warning lines."""

    def emit(self, record: logging.LogRecord) -> None:
        say_warning(record.getMessage())


def say(line: str, quiet: bool = False, lead: str = "") -> None:
    """Print a line on stdout, unless quiet; ``lead`` precedes it in bold."""
    if not quiet:
        out.print(Text.assemble((lead, "bold"), " " if lead else "", line), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print JSON on stdout, for scripts."""
    sys.stdout.write(as_json(value))


def as_json(value: Any) -> str:
    """Return JSON text that ends in a new line; times in ISO 8601."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    return str(value)
