"""Many rows at once: columns in, one prepared statement (SQLite) or one COPY (PostgreSQL), without SQLAlchemy's work for each value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
from sqlalchemy import Dialect, Table, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import Session

from cacapp.db.columns import Scaled


def insert_columns(session: Session, table: Table, size: int, columns: Mapping[str, Any]) -> None:
    """Insert ``size`` rows in one go.

    Args:
        columns: by column name, an array or sequence of ``size`` values (Python values or None in a sequence) or one value for all rows.

    Raises:
        ValueError: a column of another length, or a number that is not finite.
    """
    if not size:
        return
    dialect = session.get_bind().dialect
    if dialect.name == "postgresql":
        _copy(session, table, dialect, size, columns)
        return
    sql, names, positional = _statement(table, dialect, tuple(columns))
    values = [_column(table, name, columns[name], size) for name in names]
    rows: list[Any] = list(zip(*values, strict=True))
    if not positional:
        rows = [dict(zip(names, row, strict=True)) for row in rows]
    session.connection().exec_driver_sql(sql, rows)


def _copy(session: Session, table: Table, dialect: Dialect, size: int, columns: Mapping[str, Any]) -> None:
    """PostgreSQL's own way in for many rows; its errors are SQLAlchemy's, as those of other statements are."""
    quote = dialect.identifier_preparer
    statement = f"COPY {quote.format_table(table)} ({', '.join(quote.quote(name) for name in columns)}) FROM STDIN"
    values = [_column(table, name, given, size) for name, given in columns.items()]
    cursor = session.connection().connection.cursor()
    error_class = dialect.loaded_dbapi.Error
    try:
        with cursor.copy(statement) as copy:
            for row in zip(*values, strict=True):
                copy.write_row(row)
    except error_class as error:
        raise DBAPIError.instance(statement, None, error, error_class, dialect=dialect) from error
    finally:
        cursor.close()


@lru_cache(maxsize=64)
def _statement(table: Table, dialect: Dialect, columns: tuple[str, ...]) -> tuple[str, tuple[str, ...], bool]:
    """The INSERT in the driver's own style, its parameters in order, and whether they go by position."""
    compiled = table.insert().compile(dialect=dialect, column_keys=columns)
    positions = compiled.positiontup if isinstance(compiled, SQLCompiler) and compiled.positional else None
    return str(compiled), columns if positions is None else tuple(positions), positions is not None


def reserve_ids(session: Session, table: Table, size: int) -> list[int]:
    """``size`` free ids of ``table``, which no one else gets: SQLite lets one session write at a time, PostgreSQL has its sequence."""
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
