"""Step ``copy``: copy a whole database into another one, SQLite or PostgreSQL, and verify the copy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from cacapp.db.engine.session import Database, open_to_fill
from cacapp.db.engine.transfer import Content, content, copy_table, find_filled_table, reset_sequences, row_counts, tables
from cacapp.exceptions import CacappError
from cacapp.runs.progress import Progress, Silent


@dataclass(frozen=True, slots=True)
class CopyReport:
    """A copy: content by table, as read from the target at the end; wall time in s."""

    target: str
    tables: dict[str, Content]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


def copy(db: Database, target: str | Path, progress: Progress | None = None) -> CopyReport:
    """Copy every row, as of one moment, into a new or empty database, while others may write to the source.

    One transaction, committed after the target's counts and hashes were found equal to the source's.

    Raises:
        CacappError: the target has rows, belongs to another program, cannot hold a value of the source, or does not read as the source
            does. It is left as it was then.
    """
    progress = progress or Silent()
    start = time.perf_counter()
    with db.reading() as session, open_to_fill(target) as (label, connection):
        source = session.connection()
        filled = find_filled_table(connection)
        if filled is not None:
            raise CacappError(f"{label} is not empty (table {filled} has rows); name a new database")
        total = sum(row_counts(source).values())
        read: dict[str, Content] = {}
        written: dict[str, Content] = {}
        progress.start("copy", total)
        for table in tables():
            read[table.name] = copy_table(source, connection, table, lambda rows, name=table.name: progress.advance(name, rows))  # type: ignore[misc]
        reset_sequences(connection)
        progress.start("verify", total)
        for table in tables():
            written[table.name] = content(connection, table, lambda rows, name=table.name: progress.advance(name, rows))  # type: ignore[misc]
        different = [name for name in read if read[name] != written[name]]
        if different:
            raise CacappError(f"{label} does not hold what {db} does in table {', '.join(different)}; nothing was kept")
    return CopyReport(label, written, time.perf_counter() - start)
