"""Engines, transactions and commits; no other module makes them. For the start of a transaction see ``transactions``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import NullPool
from sqlmodel import Session

from cacapp.db.engine import schema
from cacapp.db.engine.location import Location, claim_file, database_url, locate, remove_file, without_password
from cacapp.db.engine.problems import translate_errors
from cacapp.db.engine.schema import SchemaStatus
from cacapp.db.engine.transactions import READ_ONLY, READ_WAIT, delay_signals, prepare
from cacapp.exceptions import CacappError, UsageError

__all__ = ["Database", "SchemaStatus", "Session", "database_url", "migration_connection", "open_database", "status", "upgrade"]

PAGE_SIZE_BYTES = 4096
POSTGRES_MIGRATION_LOCK = 0xCACA99
POOL, OVERFLOW = 10, 50
"""Permanent and additional connections: enough for all threads of the review server (a page may read in two transactions)."""


class Database:
    """Open database with a checked schema. ``str()`` and ``url`` never show the password."""

    def __init__(self, location: Location, engine: Engine) -> None:
        self._location = location
        self._label = location.label
        self._writing = threading.local()
        self._read_wait_s: float | None = None
        self.engine = engine
        self.url = without_password(location.url)

    @property
    def address(self) -> str:
        """Path or URL with the password, for a process of this program that opens it too; never for messages."""
        return str(_target(self._location))

    def __repr__(self) -> str:
        return f"Database({self._label!r})"

    def __str__(self) -> str:
        return self._label

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a transaction that reads and writes: committed at the end, rolled back after an exception.

        Keep it short: on SQLite it blocks other writers. It waits for other writers (``transactions.LOCK_WAIT_S``).
        Rows stay usable after it.

        Raises:
            CacappError: the database is locked, full, read-only or gone.
            RuntimeError: this thread has a write session already, for which an inner one would wait for ever.
        """
        if getattr(self._writing, "now", False):
            raise RuntimeError("a writing session is already open in this thread; pass it on instead of opening another")
        self._writing.now = True
        check: Callable[[Session], None] | None = getattr(self._writing, "check", None)
        try:
            with delay_signals(), translate_errors(self._label), Session(self.engine, expire_on_commit=False) as session:
                if check is not None:
                    check(session)
                yield session
                session.commit()
        finally:
            self._writing.now = False

    @contextmanager
    def checked(self, check: Callable[[Session], None]) -> Iterator[None]:
        """Run ``check`` at the start of each writing transaction that this thread opens in the body.

        It runs inside the transaction, so what it has locked and found still holds at the commit; an exception of it rolls back.
        """
        outer = getattr(self._writing, "check", None)
        self._writing.check = check
        try:
            yield
        finally:
            self._writing.check = outer

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that only reads: a consistent view that does not wait for writers. Writing in it is an error."""
        engine = self.engine.execution_options(**{READ_ONLY: True, READ_WAIT: self._read_wait_s})
        with delay_signals(), translate_errors(self._label, self._read_wait_s), Session(engine, expire_on_commit=False) as session:
            yield session

    def limit_read_wait(self, seconds: float) -> None:
        """Let reading transactions wait this long where another program locks readers out too; then they raise CacappError."""
        self._read_wait_s = seconds

    @contextmanager
    def rebuilding(self) -> Iterator[Connection]:
        """Open a transaction that deletes many rows: as ``session``, but SQLite checks foreign keys once at its end, not at each row.

        Raises:
            CacappError: as ``session``, or rows would refer to missing rows; all is rolled back.
        """
        with delay_signals(), translate_errors(self._label), migration_connection(_target(self._location)) as connection:
            yield connection
            schema.require_no_orphans(connection)

    def compact(self) -> None:
        """Free the space of deleted rows: SQLite's file shrinks (and needs that space once more meanwhile), PostgreSQL uses it again.

        Raises:
            CacappError: another program uses the database, or the disk is full; the database is unchanged.
        """
        pooled = make_engine(self._location, pooled=False).raw_connection()
        raw: Any = pooled.driver_connection
        try:
            with delay_signals(), translate_errors(self._label):
                if self.engine.dialect.name == "postgresql":
                    raw.autocommit = True
                raw.execute("VACUUM")
                if self.engine.dialect.name == "sqlite":
                    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            pooled.close()

    def dispose(self) -> None:
        """Close the connections."""
        self.engine.dispose()


@delay_signals()
def open_database(url_or_path: str | Path | None = None, *, create: bool = True) -> Database:
    """Open a database after a check of its schema; create it if there is none and ``create`` is on.

    Args:
        url_or_path: a SQLite file's path or a SQLAlchemy URL; None: see ``database_url``.

    Raises:
        CacappError: it is not a database, belongs to another program, has an older or newer schema, or cannot be created.
            No file remains then.
    """
    location = locate(url_or_path)
    made = claim_file(location, create=create)
    try:
        engine = make_engine(location)
        try:
            with translate_errors(location.label):
                found = _read_status(location, engine)
                if found.current is None and create:
                    _migrate(location)
                else:
                    schema.require_current(found, location.label)
        except BaseException:
            engine.dispose()
            raise
    except BaseException:
        if made and location.path is not None:
            remove_file(location.path)
        raise
    return Database(location, engine)


@delay_signals()
def upgrade(url_or_path: str | Path | None, revision: str = "head") -> SchemaStatus:
    """Bring the schema up to date in one transaction; create the database if there is none.

    Args:
        revision: the schema to end at; an earlier one removes tables and columns with their content.

    Raises:
        CacappError: the database belongs to another program, or is newer than this cacapp; it is unchanged.
    """
    location = locate(url_or_path)
    made = claim_file(location, create=True)
    try:
        with translate_errors(location.label):
            engine = make_engine(location, pooled=False)
            found = _read_status(location, engine)
            if found.current is not None and found.current > found.head:
                schema.require_current(found, location.label)
            _migrate(location, revision)
            return _read_status(location, engine)
    except BaseException:
        if made and location.path is not None:
            remove_file(location.path)
        raise


@delay_signals()
def status(url_or_path: str | Path | None) -> SchemaStatus:
    """Read the schema of an existing database, also of one that this cacapp cannot use.

    Raises:
        CacappError: there is no database, or it belongs to another program.
    """
    location = locate(url_or_path)
    claim_file(location, create=False)
    with translate_errors(location.label):
        return _read_status(location, make_engine(location, pooled=False))


@contextmanager
def migration_connection(url_or_path: str | Path | None) -> Iterator[Connection]:
    """Open a connection in a transaction that may change the schema: committed at the end, on SQLite with foreign keys off."""
    engine = make_engine(locate(url_or_path), pooled=False, foreign_keys=False)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({POSTGRES_MIGRATION_LOCK})")
        yield connection


@contextmanager
def open_to_fill(url_or_path: str | Path) -> Iterator[tuple[str, Connection]]:
    """Open a new or existing database with the current schema and a transaction to fill it, on SQLite with foreign keys checked at the end.

    Yields its name for messages and the connection. If the body fails, all of it is rolled back, and a new file is deleted.

    Raises:
        CacappError: the database belongs to another program or has another schema, or rows refer to missing rows.
    """
    location = locate(url_or_path)
    made = claim_file(location, create=True)
    try:
        with translate_errors(location.label):
            if not made:
                found = _read_status(location, make_engine(location, pooled=False))
                if found.current is not None:
                    schema.require_current(found, location.label)
            with migration_connection(_target(location)) as connection:
                schema.migrate(connection)
                yield location.label, connection
                schema.require_no_orphans(connection)
            _use_wal(location)
    except BaseException:
        if made and location.path is not None:
            remove_file(location.path)
        raise


def _target(location: Location) -> str | Path:
    return location.url.render_as_string(hide_password=False) if location.path is None else location.path


def make_engine(location: Location, *, pooled: bool = True, foreign_keys: bool = True) -> Engine:
    """Make an engine. Its SQLite connections have the pragmas and begin their transactions explicitly."""
    try:
        # a connection is tested before use, so that a long run continues after a restart of the server
        pool = {"pool_pre_ping": True, "pool_size": POOL, "max_overflow": OVERFLOW} if pooled else {"poolclass": NullPool}
        engine = create_engine(location.url, **pool)
    except NoSuchModuleError:
        raise UsageError(f"{location.label}: no such kind of database; use a SQLite file or postgresql://") from None
    except ModuleNotFoundError as error:
        package = "cacapp[postgres]" if error.name == "psycopg" else error.name
        raise CacappError(f"{location.label} needs the package {error.name}: pip install '{package}'") from None
    prepare(engine, location.label, foreign_keys=foreign_keys)
    return engine


def _read_status(location: Location, engine: Engine) -> SchemaStatus:
    with engine.execution_options(**{READ_ONLY: True}).connect() as connection:
        return schema.read_status(connection, location.label)


def _migrate(location: Location, revision: str = "head") -> None:
    """Migrate in one transaction; a process that waited for another's migration finds nothing left to do."""
    _use_wal(location)
    with migration_connection(_target(location)) as connection:
        schema.migrate(connection, revision)


def _use_wal(location: Location) -> None:
    """Switch on the write-ahead log: readers and one writer do not wait for each other. SQLite keeps the setting in the file."""
    if location.path is None:
        return
    raw = make_engine(location, pooled=False).raw_connection()
    try:
        with suppress(Exception):  # a file system without shared memory has SQLite's default journal, which is as safe
            raw.cursor().execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")
            raw.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        raw.close()
