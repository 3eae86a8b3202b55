"""Results of a command: exit code, output, and rows in the database."""

from __future__ import annotations

from pathlib import Path

from cacapp.db.engine.session import database_url, migration_connection

WHO = ("--patient", "P1", "--slide", "S1", "--blood-volume-ul", "100")
OK, FAILED, USAGE, PARTLY = 0, 1, 2, 3


def rows(table: str, db: str | None = None) -> int:
    """In a database, by default the one the commands use."""
    with migration_connection(database_url(db)) as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def no_rows(*tables: str) -> bool:
    here = database_url(None)
    return ("://" not in here and not Path(here).exists()) or all(
        rows(table) == 0 for table in tables or ("patient", "slide", "frame", "run")
    )
