"""Many rows at once: columns in, one prepared statement to the driver, without SQLAlchemy's work for each value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
from sqlalchemy import Dialect, Table, func, select, text
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import Session

from cacapp.db.columns import Scaled


def insert_columns(session: Session, table: Table, size: int, columns: Mapping[str, Any]) -> None:
    """Insert ``size`` rows in one executemany.

    Args:
        columns: by column name, an array or sequence of ``size`` values (Python values or None in a sequence) or one value for all rows.

    Raises:
        ValueError: a column of another length, or a number that is not finite.
    """
    if not size:
        return
    sql, names, positional = _statement(table, session.get_bind().dialect, tuple(columns))
    values = [_column(table, name, columns[name], size) for name in names]
    rows: list[Any] = list(zip(*values, strict=True))
    if not positional:
        rows = [dict(zip(names, row, strict=True)) for row in rows]
    session.connection().exec_driver_sql(sql, rows)


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
