"""Start of transactions on each database, their wait for other programs, and the delay of Ctrl-C.

SQLite's driver would commit implicitly before DDL and start transactions late, so it is switched to autocommit and each
transaction is begun here: ``BEGIN IMMEDIATE`` for writing, which waits for other writers at the start and cannot fail half-way for
them, ``BEGIN`` for reading, which never waits. PostgreSQL writes under READ COMMITTED, where rows wait for each other and nothing
has to be repeated; it reads under REPEATABLE READ, which is one view of all tables, as SQLite's is.
"""

from __future__ import annotations

import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Engine, event

READ_ONLY = "cacapp_read_only"
READ_WAIT = "cacapp_read_wait_s"
"""Option of a reading connection: its longest wait, s; None: as long as the database's default."""

LOCK_WAIT_S = 120
"""Longest wait of a writer for another program: a backup or a virus scanner may lock a file for half a minute."""
BUSY_TIMEOUT_S = 30
SAY_AFTER_S = 2.0

_log = logging.getLogger(__name__)
_received: list[tuple[int, FrameType | None]] = []
"""Signals received inside ``delay_signals``; they are handled at its end."""


@contextmanager
def delay_signals() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM to the end of the body: inside the driver they would leave a broken connection and a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {int(number): handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda *received: _received.append(received))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if _received:
            number, frame = _received[0]
            _received.clear()
            handlers[number](number, frame)


def prepare(engine: Engine, label: str, *, foreign_keys: bool = True) -> None:
    """Set up the engine's connections and transactions as described above; ``label`` names the database in messages."""
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def connect(raw: sqlite3.Connection, _record: Any) -> None:
            raw.isolation_level = None
            raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
            raw.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        read_only, wait_s = bool(options.get(READ_ONLY)), options.get(READ_WAIT)
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(1000 * (LOCK_WAIT_S if wait_s is None else wait_s))}")
            if read_only:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        elif read_only:
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(1000 * (BUSY_TIMEOUT_S if wait_s is None else wait_s))}")
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql("PRAGMA query_only = OFF")
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            _begin_writing(raw, label)


def _begin_writing(raw: sqlite3.Connection, label: str) -> None:
    """Wait for SQLite's writer in short intervals, to inform the user and react to Ctrl-C between them."""
    deadline, said = time.monotonic() + LOCK_WAIT_S, False
    raw.execute(f"PRAGMA busy_timeout = {int(SAY_AFTER_S * 1000)}")
    try:
        while True:
            try:
                raw.execute("PRAGMA synchronous = NORMAL")  # reads the schema, for which it waits as the transaction does
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= deadline:
                    raise
                if _received:
                    raise KeyboardInterrupt from None
                if not said:
                    _log.warning("%s is in use by another program; waiting for it, up to %d s", label, LOCK_WAIT_S)
                    said = True
            else:
                return
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
