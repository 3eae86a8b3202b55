"""Location of a database: a SQLite file by path, or any SQLAlchemy URL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cacapp.exceptions import CacappError, UsageError

DEFAULT = "cacapp.db"
VARIABLE = "CACAPP_DB"
POSTGRES_DRIVER = "postgresql+psycopg"
"""Driver for a plain ``postgresql://``."""
SQLITE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Location:
    """Location of a database.

    ``path``: the SQLite file, None for a server (or a SQLite ``file:`` URI). ``label``: its name in messages, without the password.
    """

    url: URL
    path: Path | None
    label: str


def database_url(option: str | None) -> str:
    """Return the database to use, a path or a URL: ``--db`` if given, else the variable CACAPP_DB, else ``cacapp.db`` in this folder."""
    return option or os.environ.get(VARIABLE) or DEFAULT


def locate(url_or_path: str | Path | None) -> Location:
    """Return the location of a URL (it has ``://``) or of a path.

    Raises:
        UsageError: a URL SQLAlchemy cannot read, or a SQLite database in memory, which would be lost at the end of the command.
    """
    given = database_url(None) if url_or_path is None else url_or_path
    if isinstance(given, Path) or "://" not in given:
        path = Path(given).expanduser()
        return Location(URL.create("sqlite", database=str(path)), path, str(path))
    try:
        url = make_url(given)
    except ArgumentError:
        raise UsageError("--db is no database URL; write a file's path or DIALECT://USER:PASSWORD@HOST/NAME") from None
    label = without_password(url)
    if url.drivername == "postgresql":
        url = url.set(drivername=POSTGRES_DRIVER)
    if url.get_backend_name() != "sqlite":
        return Location(url, None, label)
    if not url.database or url.database == ":memory:":
        raise UsageError(f"{label}: a database in memory would be lost; name a file")
    if "uri" in url.query:
        return Location(url, None, label)
    return Location(url, Path(url.database), url.database)


def without_password(url: URL) -> str:
    """Return a URL for messages and the database, without a password anywhere in it."""
    hidden = {name: "***" for name in url.query if "pass" in name.lower() or "secret" in name.lower() or "token" in name.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def claim_file(location: Location, *, create: bool) -> bool:
    """Check the SQLite file before SQLite opens it; create it, readable by its owner alone, if there is none.

    Returns:
        True if this call created the file, which is then empty.

    Raises:
        CacappError: no file and ``create`` is off, no folder, a folder without write permission, or a file that is not a database.
    """
    path = location.path
    if path is None:
        return False
    if path.is_dir():
        raise CacappError(f"{path} is a folder; --db takes a file, for example {path / DEFAULT}")
    try:
        with path.open("rb") as file:
            start = file.read(len(SQLITE_MAGIC))
    except (FileNotFoundError, NotADirectoryError):
        return _make_file(path, create)
    except OSError as error:
        raise CacappError(f"{path} cannot be read: {error.strerror}") from None
    if start and start != SQLITE_MAGIC:
        raise CacappError(f"{path} is no cacapp database; name another file with --db")
    return False


def _make_file(path: Path, create: bool) -> bool:
    if not create:
        raise CacappError(f"{path}: no such database; `cacapp ingest` makes one, or name another with --db")
    if not path.parent.is_dir():
        raise CacappError(f"{path}: there is no folder {path.parent}; make it, or name another file with --db")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:  # another process created it first; the following schema check waits for it
        return False
    except OSError as error:
        raise CacappError(f"{path} cannot be made: {error.strerror}; name another file with --db") from None
    return True


def remove_file(path: Path) -> None:
    """Delete a SQLite file that was just created, with SQLite's files beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
