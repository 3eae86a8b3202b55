"""Snapshots of a SQLite file, page by page, while other processes write to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cacapp.db.engine.problems import translate_errors
from cacapp.db.engine.session import Database
from cacapp.exceptions import CacappError

PAGES_AT_ONCE = 4096


def copy_file(db: Database, target: Path, start: Callable[[str, int], None], advance: Callable[[str, int], None]) -> None:
    """Copy the database into a new file, readable by its owner alone. It neither waits for writers nor blocks them.

    Args:
        start: called with a description and the number of pages.
        advance: called with the number of pages copied since the last call.

    Raises:
        CacappError: the disk is full, or the copy is damaged; the caller removes the file.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with db.reading() as session, translate_errors(str(target)), closing(sqlite3.connect(target)) as copy:
        raw = session.connection().connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        start("back up", raw.execute("PRAGMA page_count").fetchone()[0])  # the transaction now sees this moment
        left: list[int] = []

        def tell(_status: int, remaining: int, total: int) -> None:
            advance("", (left[-1] if left else total) - remaining)
            left.append(remaining)

        raw.backup(copy, pages=PAGES_AT_ONCE, progress=tell, sleep=0.01)
        damage = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise CacappError(f"{db} is damaged ({damage}); restore an earlier backup")
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
