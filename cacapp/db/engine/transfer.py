"""Transfer of all rows from one database into another of either kind, and a hash of their content.

Rows are copied as stored (scaled integers, JSON as text), without rounding or conversion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, Integer, String, cast, collate, func, select, text, type_coerce
from sqlalchemy import Table as SqlTable
from sqlalchemy.exc import DataError
from sqlalchemy.sql.elements import ColumnElement

from cacapp.db.engine.bulk import insert_rows
from cacapp.db.engine.columns import Scaled
from cacapp.db.tables import Table
from cacapp.exceptions import CacappError

BATCH_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Content:
    """Content of a table: number of rows, and SHA-256 over them in the order of their keys, the same on every kind of database."""

    rows: int
    sha256: str


def tables() -> list[SqlTable]:
    """Return all tables in order of their foreign keys, referenced tables first."""
    return Table.metadata.sorted_tables


def find_filled_table(connection: Connection) -> str | None:
    """Return the name of a table with rows; None if all are empty."""
    for table in tables():
        if connection.execute(select(table).limit(1)).first() is not None:
            return table.name
    return None


def row_counts(connection: Connection) -> dict[str, int]:
    """Count the rows of each table."""
    return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables()}


def content(connection: Connection, table: SqlTable, advance: Callable[[int], None]) -> Content:
    """Read a table and hash it; ``advance`` is called with the number of rows read."""
    seen = hashlib.sha256()
    rows = 0
    for batch in _batches(connection, table):
        rows += _add(seen, batch)
        advance(len(batch))
    return Content(rows, seen.hexdigest())


def copy_table(source: Connection, target: Connection, table: SqlTable, advance: Callable[[int], None]) -> Content:
    """Write a table's rows into the empty table of the target; return its content.

    Raises:
        CacappError: the target cannot hold a value, such as a number above PostgreSQL's range.
    """
    seen = hashlib.sha256()
    rows = 0
    names = [column.name for column in table.columns]
    for batch in _batches(source, table):
        rows += _add(seen, batch)
        try:
            insert_rows(target, table, names, batch)
        except DataError as error:
            raise CacappError(f"table {table.name}: {' '.join(str(error.orig).split())}; nothing was copied") from error
        advance(len(batch))
    return Content(rows, seen.hexdigest())


def reset_sequences(connection: Connection) -> None:
    """Set PostgreSQL's sequences to continue after the highest ids that were copied; SQLite has none."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables():
        column = table.autoincrement_column
        if column is not None:
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
            )
            last = connection.execute(select(func.max(column))).scalar_one()
            if last is not None:
                connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence.scalar_one(), "last": last})


def _batches(connection: Connection, table: SqlTable) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield the rows in the order of the primary key, a few thousand at a time, as plain values."""
    on_postgres = connection.dialect.name == "postgresql"
    order = [collate(c, "C") if on_postgres and isinstance(c.type, String) else c for c in table.primary_key.columns]
    query = select(*(_plain(column) for column in table.columns)).order_by(*order)
    result = connection.execution_options(yield_per=BATCH_ROWS).execute(query)
    for batch in result.partitions():
        yield [tuple(row) for row in batch]


def _plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, Scaled):
        return type_coerce(column, Integer)
    if isinstance(column.type, JSON):
        return cast(column, String)
    return column


def _add(seen: Any, batch: Sequence[tuple[Any, ...]]) -> int:
    seen.update("\n".join(map(repr, batch)).encode())
    seen.update(b"\n")
    return len(batch)
