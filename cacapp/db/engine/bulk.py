"""Insertion of many rows with one prepared statement (SQLite) or one COPY (PostgreSQL), without SQLAlchemy's work for each value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat
from operator import itemgetter
from typing import Any

import numpy as np
from sqlalchemy import Connection, Dialect, Table, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import Session

from cacapp.db.engine.base import Table as Model
from cacapp.db.engine.base import table_of
from cacapp.db.engine.columns import Scaled


def insert_columns(session: Session, model: type[Model], size: int, columns: Mapping[str, Any]) -> None:
    """Insert ``size`` rows with one statement.

    Args:
        model: the class of the table.
        columns: by column name, an array or sequence of ``size`` values (Python values or None in a sequence) or one value for all rows.

    Raises:
        ValueError: a column of another length, or a number that is not finite.
    """
    if not size:
        return
    table, names = table_of(model), tuple(columns)
    values = [_column(table, name, columns[name], size) for name in names]
    insert_rows(session.connection(), table, names, list(zip(*values, strict=True)))


def insert_rows(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows with stored values (scaled integers, JSON as text) in the order of the columns ``names``."""
    if not rows:
        return
    dialect = connection.dialect
    if dialect.name == "postgresql":
        _copy(connection, table, names, rows)
        return
    moments = [i for i, name in enumerate(names) if table.c[name].type.python_type is datetime]
    if moments:
        rows = [tuple(_as_text(v) if i in moments and v is not None else v for i, v in enumerate(row)) for row in rows]
    sql, order = _statement(table, dialect, tuple(names))
    if order is None:
        connection.exec_driver_sql(sql, [dict(zip(names, row, strict=True)) for row in rows])
    elif order == tuple(names):
        connection.exec_driver_sql(sql, list(rows))
    else:
        in_order = itemgetter(*(names.index(name) for name in order))
        connection.exec_driver_sql(sql, list(map(in_order, rows)))


def _as_text(moment: datetime) -> str:
    """Format a time as SQLAlchemy writes it into SQLite: in UTC, without the zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _copy(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows with PostgreSQL's COPY; errors are raised as SQLAlchemy errors, as for other statements."""
    dialect = connection.dialect
    quote = dialect.identifier_preparer
    statement = f"COPY {quote.format_table(table)} ({', '.join(quote.quote(name) for name in names)}) FROM STDIN"
    cursor = connection.connection.cursor()
    error_class = dialect.loaded_dbapi.Error
    try:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except error_class as error:
        raw = connection.connection
        lost = dialect.is_disconnect(error, raw, cursor)
        raise DBAPIError.instance(statement, None, error, error_class, connection_invalidated=lost, dialect=dialect) from error
    finally:
        cursor.close()


@lru_cache(maxsize=64)
def _statement(table: Table, dialect: Dialect, columns: tuple[str, ...]) -> tuple[str, tuple[str, ...] | None]:
    """Return the INSERT in the driver's parameter style, and its parameters in order, or None if they are passed by name."""
    compiled = table.insert().compile(dialect=dialect, column_keys=columns)
    positions = compiled.positiontup if isinstance(compiled, SQLCompiler) and compiled.positional else None
    return str(compiled), None if positions is None else tuple(positions)


def reserve_ids(session: Session, model: type[Model], size: int) -> list[int]:
    """Reserve ``size`` unique ids of a table: SQLite has one writer at a time, PostgreSQL a sequence."""
    table = table_of(model)
    if session.get_bind().dialect.name == "postgresql":
        sequence = text("SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :size)")
        return list(session.connection().execute(sequence, {"table": table.name, "size": size}).scalars())
    last = session.connection().execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()
    return list(range(last + 1, last + 1 + size))


def _column(table: Table, name: str, given: Any, size: int) -> Any:
    if given is None or isinstance(given, (int, str, bytes)):
        return repeat(given, size)
    if len(given) != size:
        raise ValueError(f"{table.name}.{name}: {len(given)} values for {size} rows")
    kind = table.c[name].type
    if isinstance(kind, Scaled):
        present = None if isinstance(given, np.ndarray) else np.array([value is not None for value in given], bool)
        numbers = np.array(given, np.float64)  # None becomes NaN
        scaled = np.rint(np.where(np.isfinite(numbers), numbers, 0) * kind.scale).astype(np.int64).tolist()
        if not (np.isfinite(numbers) if present is None else np.isfinite(numbers) | ~present).all():
            raise ValueError(f"{table.name}.{name} holds a number that is not finite")
        return scaled if present is None else [value if there else None for value, there in zip(scaled, present, strict=True)]
    return given.tolist() if isinstance(given, np.ndarray) else given
