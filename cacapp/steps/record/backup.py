"""Step ``backup``: copy the database, as it is at one moment, into one file, while others use it."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cacapp.db.engine.session import Database
from cacapp.db.engine.snapshot import copy_file
from cacapp.exceptions import CacappError
from cacapp.runs.progress import Progress, Silent
from cacapp.steps.record.copy import copy


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A backup: the file, its size in bytes, and the wall time in s."""

    path: Path
    size: int
    seconds: float


def backup(db: Database, path: Path, progress: Progress | None = None) -> BackupReport:
    """Write a SQLite file, readable by its owner alone, that every command takes with ``--db``; it is complete or not there.

    SQLite is copied page by page; PostgreSQL row by row from one snapshot, and verified.

    Raises:
        CacappError: the file exists, its folder does not or may not be written, or the disk is full.
    """
    progress = progress or Silent()
    start = time.perf_counter()
    if path.exists():
        raise CacappError(f"{path} exists; name a new file, a backup never replaces one")
    if not path.parent.is_dir():
        raise CacappError(f"{path}: there is no folder {path.parent}; make it, or name another file")
    try:
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CacappError(f"{path} cannot be written: {error.strerror or error}; name another file") from None
    with folder as name:
        half = Path(name) / path.name
        if db.engine.dialect.name == "sqlite":
            copy_file(db, half, progress.start, progress.advance)
        else:
            copy(db, half, progress)
        with half.open("rb") as file:
            os.fsync(file.fileno())
        _move(half, path)
    return BackupReport(path, path.stat().st_size, time.perf_counter() - start)


def _move(half: Path, path: Path) -> None:
    """Give the file its name, without replacing a file that was made meanwhile."""
    try:
        os.link(half, path)
    except FileExistsError:
        raise CacappError(f"{path} exists; name a new file, a backup never replaces one") from None
    except OSError:  # a file system without hard links
        half.rename(path)
