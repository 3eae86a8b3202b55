"""Translation of database drivers' errors to one line with the solution."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError

from cacapp.db.engine.transactions import LOCK_WAIT_S
from cacapp.exceptions import CacappError, StorageError

_LOCKED = "is in use by another program (waited {wait_s:g} s); try again when it is done, what was finished is kept"
_FULL = "could not be written, the disk is full; make room and run the command again, nothing half-written was kept"
_READ_ONLY = "is read-only; give yourself write permission, or name another database with --db"
_CLASH = "was changed by another program at the same moment; run the command again, nothing half-written was kept"

_LOST = (
    "ended the connection (it was restarted, another took its place, or the network broke); "
    "run the command again when it is back, nothing half-written was kept"
)

_SQLITE_REASONS = (
    ("locked", _LOCKED),
    ("unable to open", "cannot be opened; check that the file and its folder may be read and written"),
    ("readonly", _READ_ONLY),
    ("full", _FULL),
    ("disk i/o", "could not be written (disk I/O error); check the disk and run the command again, nothing half-written was kept"),
    ("not a database", "is no cacapp database; name another file with --db"),
    ("malformed", "is damaged; restore a backup"),
)
_POSTGRES_REASONS = {
    "23505": _CLASH,  # a key that was free at this transaction's check; SQLite has one writer at a time
    "25006": _READ_ONLY,
    "40001": _CLASH,
    "40P01": _CLASH,
    "42501": "does not let this user do that; ask its owner for the right to read and write its tables",
    "53100": _FULL,
    "55P03": _LOCKED,
    "57P01": _LOST,
    "57P02": _LOST,
}
"""Reasons by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


@contextmanager
def translate_errors(label: str, wait_s: float | None = None) -> Iterator[None]:
    """Raise errors that a user can solve (a lock, a full disk, a lost server) as one line, and errors in our SQL unchanged.

    ``wait_s``: how long a transaction waits for other programs; None: LOCK_WAIT_S.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        message = " ".join(str(cause).split())
        reason = _reason(cause, message)
        if reason is None and isinstance(error, DBAPIError) and error.connection_invalidated:
            reason = _LOST  # the server closed the connection without a reason
        if reason is not None:
            raise StorageError(f"{label} {reason.format(wait_s=LOCK_WAIT_S if wait_s is None else wait_s)}") from error
        if isinstance(error, DataError):
            raise CacappError(f"{label} cannot hold what was given: {message}") from error
        if type(error).__name__ == "OperationalError" and not message.startswith(("no such", "near ")):
            hint = "; make it first: createdb NAME" if message.startswith("connection failed") and "does not exist" in message else ""
            raise StorageError(f"{label}: {message}{hint}") from error
        raise


def _reason(cause: BaseException | None, message: str) -> str | None:
    if isinstance(cause, sqlite3.Error):
        return next((reason for sign, reason in _SQLITE_REASONS if sign in message.lower()), None)
    return _POSTGRES_REASONS.get(getattr(cause, "sqlstate", None) or "")
