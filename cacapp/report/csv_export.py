"""Records as CSV text that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\n")
"""First characters of a text that spreadsheets take for a formula (OWASP, CSV injection)."""


def to_csv(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """Return CSV text with a header: booleans are 0 and 1, None is empty.

    A text that a spreadsheet would run as a formula gets a leading apostrophe; numbers, also negative ones as text, stay as they are.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writerow({column: _cell(column) for column in columns})
    for record in records:
        table.writerow({key: _cell(value) for key, value in record.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        text = value.replace("\r\n", "\n").replace("\r", "\n")  # csv does not quote a lone return
        return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
