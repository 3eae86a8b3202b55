"""Tables that spreadsheets save as text: CSV with commas, semicolons or tabs, in UTF-8 or UTF-16, with decimal points or commas."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacapp.exceptions import UsageError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# "1,500" is a half more than one for some, and a thousand and a half for others.
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table that is not empty.

    Attributes:
        line: its number in the file.
        values: by column, without spaces around them; "" where the line ends before.
        complete: whether it has a value, "" or not, for each column.
    """

    line: int
    values: Mapping[str, str]
    complete: bool


def read_table(path: Path, what: str, known: Sequence[str], others: bool = False) -> tuple[list[str], list[Row]]:
    """Read columns and rows of a table. Empty rows, and columns without a name and values, are left out.

    Args:
        what: the file's role, with which errors begin ("manifest").
        known: columns as the caller spells them; case, spaces and punctuation in the file do not matter.
        others: whether columns that are not ``known`` may be there; they keep the name that the file gives them.

    Raises:
        UsageError: no text, no table, an unknown or repeated column, or more values than columns; one line with file and line.
    """
    where = f"{what} {path}"
    lines = _text(path, where).splitlines(keepends=True)
    first = 1
    if lines and (told := re.fullmatch(r'"?sep=(.)"?\s*', lines[0], re.IGNORECASE)):  # Excel's own line
        delimiter, lines, first = told[1], lines[1:], 2
    else:
        delimiter = _delimiter(next((line for line in lines if any(c.isalnum() for c in line)), ""), known)
    try:
        reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter, strict=True)
        table = [(reader.line_num + first - 1, [value.strip() for value in values]) for values in reader]
    except csv.Error as error:
        raise UsageError(f"{where}: no CSV table ({error}); save it again as CSV") from error
    table = [(line, values) for line, values in table if any(values)]
    if not table:
        return [], []
    columns = _columns(table[0][1], known)
    _check_columns(where, columns, known, others)
    rows = []
    for line, values in table[1:]:
        if any(values[len(columns) :]):
            comma = "; a decimal comma needs semicolons between the columns, or quotes" if delimiter == "," else ""
            raise UsageError(f"{where}, line {line}: more values than columns{comma}")
        nameless = next((v for c, v in zip(columns, values, strict=False) if v and not c), None)
        if nameless is not None:
            raise UsageError(f"{where}, line {line}: {nameless!r} is in a column without a name")
        filled = values + [""] * (len(columns) - len(values))
        rows.append(Row(line, {c: v for c, v in zip(columns, filled, strict=False) if c}, len(values) >= len(columns)))
    return [c for c in columns if c], rows


def number(text: str) -> float:
    """Parse a number with a decimal point or a decimal comma; NaN where it is none, or not finite.

    Raises:
        UsageError: digits in a group of three after one comma ("1,500"), which may be thousands.
    """
    text = text.strip()
    if _AMBIGUOUS.fullmatch(text):
        raise UsageError(f"{text!r} may be {text.replace(',', '.')} or {text.replace(',', '')}; write one of them")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _text(path: Path, where: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{where}: cannot be read ({error.strerror})") from error
    encoding = next((name for bom, name in _BOMS if content.startswith(bom)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UsageError(f"{where}: not UTF-8 or UTF-16 text, as a CSV file is; in Excel, save it as 'CSV UTF-8'")
    return text


def _key(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold().replace("μ", "u")
    return "_".join(re.findall(r"[^\W_]+", plain))


def _columns(header: Sequence[str], known: Sequence[str]) -> list[str]:
    spelled = {_key(name): name for name in known}
    columns = [spelled.get(_key(name), name) for name in header]
    while columns and not columns[-1]:
        columns.pop()
    return columns


def _delimiter(header: str, known: Sequence[str]) -> str:
    """Return the character that splits the line of column names into most known names; a comma where none does."""

    def fits(delimiter: str) -> int:
        names = next(csv.reader([header], delimiter=delimiter), [])
        return len({_key(name) for name in names} & {_key(name) for name in known})

    return max(DELIMITERS, key=fits)


def _check_columns(where: str, columns: Sequence[str], known: Sequence[str], others: bool) -> None:
    if repeated := next((c for c in columns if c and columns.count(c) > 1), None):
        raise UsageError(f"{where}: column {repeated} is there twice")
    unknown = [c for c in columns if c and c not in known]
    if unknown and not others:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise UsageError(f"{where}: unknown column {unknown[0]!r}{hint} Columns are {', '.join(known)}")
