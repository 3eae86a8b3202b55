"""Print tables that fit the terminal: lines break between words only; a table that cannot fit is printed as one block per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from cacapp.cli.console import out

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Blank characters between columns."""

Column = str | tuple[str, str]
"""A heading, or (heading, "right") for numbers."""

Value = Text | str | int | float | None
"""A cell's content; None is a dash. Text is never taken for markup."""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Value]], title: str = "", caption: str = "", airy: bool = True) -> None:
    """Print rows under headings on stdout, no wider than the terminal or than needed.

    ``airy``: a blank line between rows where some take several lines.
    """
    names = [c if isinstance(c, str) else c[0] for c in columns]
    right = [not isinstance(c, str) for c in columns]
    texts = [[_text(value) for value in row] for row in rows]
    if title:
        out.print(Text(title, "bold"), soft_wrap=True)
    widths = fitted([[Text(name), *(row[i] for row in texts)] for i, name in enumerate(names)], out.width)
    if widths is None:
        _print_blocks(names, texts)
    else:
        out.print(_table(names, right, widths, texts, airy))
    if caption:
        out.print(Text(caption, "dim"), soft_wrap=True)


def fitted(columns: Sequence[Sequence[Text]], width: int) -> list[int] | None:
    """Return column widths that break no word; None where the words do not fit side by side.

    A column has at least the width of its longest word and at most that of its longest line; what is left over beyond the words
    goes first to the columns that lack least, so that few have broken lines.
    """
    widths = [max((_word(text) for text in column), default=0) for column in columns]
    lines = [max((_line(text) for text in column), default=0) for column in columns]
    spare = width - sum(widths) - GAP * (len(columns) - 1)
    if spare < 0:
        return None
    for i in sorted(range(len(columns)), key=lambda i: lines[i] - widths[i]):
        more = min(spare, lines[i] - widths[i])
        widths[i] += more
        spare -= more
    return widths


def _table(names: Sequence[str], right: Sequence[bool], widths: Sequence[int], rows: Sequence[Sequence[Text]], airy: bool) -> Table:
    from rich import box
    from rich.table import Table as RichTable

    broken = any(len(text.plain.splitlines()) > 1 or _line(text) > width for row in rows for text, width in zip(row, widths, strict=True))
    table = RichTable(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),  # the box draws a blank column more
        show_header=any(names),
        leading=int(broken and airy),
    )
    for name, numeric, width in zip(names, right, widths, strict=True):
        table.add_column(Text(name), justify="right" if numeric else "left", width=width, vertical="top")
    for row in rows:
        table.add_row(*row)
    return table


def _print_blocks(names: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    for row in rows:
        for name, text in zip(names, row, strict=True):
            value = Text(", ").join(text.split("\n"))
            out.print(Text.assemble((f"{' '.join(name.split())}: ", "dim"), value) if name else value, soft_wrap=True)
        out.print()


def _text(value: Value) -> Text:
    return value if isinstance(value, Text) else Text("–" if value is None else str(value))


def _word(text: Text) -> int:
    return max((Text(word).cell_len for word in text.plain.split()), default=0)


def _line(text: Text) -> int:
    return max((Text(line).cell_len for line in text.plain.splitlines()), default=0)
