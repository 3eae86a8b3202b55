"""The chain over all signed and audited rows: each row gets a link with its digest, and each link the digest of the one before.

A row is linked when its transaction commits, in the order of the commits, by one process at a time: SQLite has one writer, PostgreSQL
a lock. A row's digest covers the columns of LINKED as they are stored, so that it is the same in a copy on the other kind of database.
The migration that made the table writes the first links by this module: neither LINKED nor the form of a digest may change. A column
added to one of these tables later needs a digest of its own beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, event, select
from sqlmodel import Session

from cacapp import __version__
from cacapp.db.engine.columns import UtcDateTime
from cacapp.db.engine.locks import hold_lock
from cacapp.db.review.tables import Amendment, AuditEvent, Review, SignOff
from cacapp.exceptions import UsageError

POSTGRES_CHAIN_LOCK = 0xCACA17
GENESIS = "0" * 64
"""The digest before the first link."""
ROWS_AT_ONCE = 500
PENDING = "cacapp rows to link"

Row = Review | SignOff | Amendment | AuditEvent
_JSON, _TIME = ("before", "after", "record", "details"), ("created_at", "signed_at", "opened_at", "at")
LINKED: Mapping[str, tuple[str, ...]] = {
    "review": ("id", "cell_id", "reviewer", "created_at", "before", "after", "reason", "run_id", "position", "kind", "undoes", "key"),
    "sign_off": ("id", "patient_id", "run_id", "signer", "signed_at", "comment", "record", "previous_id", "sha256"),
    "amendment": ("id", "sign_off_id", "opened_by", "opened_at", "reason"),
    "audit_event": ("id", "at", "account", "action", "subject", "details", "address"),
}
"""The columns that a row's digest covers, by table."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the chain, as ``ChainLink`` describes its columns."""

    id: int
    row_table: str
    row_id: int
    row_sha256: str
    origin: str
    previous_sha256: str
    sha256: str

    @property
    def head(self) -> Head:
        """Return what a laboratory keeps to prove later that the chain up to here is the same."""
        return Head(self.id, self.sha256)

    @property
    def fits(self) -> bool:
        """Tell whether the digest is that of the other columns."""
        return self.sha256 == link_sha256(self.id, self.row_table, self.row_id, self.row_sha256, self.origin, self.previous_sha256)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link at some moment: its number and digest. ``str()`` is what is printed and kept: "118:6f0c..."."""

    id: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.id}:{self.sha256}"

    @classmethod
    def of(cls, text: str) -> Head:
        """Return the head that a text names. Raises UsageError for another text."""
        number, _, sha256 = text.strip().partition(":")
        if not number.isascii() or not number.isdigit() or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise UsageError(
                f"--head {text}: give what `cacapp db head` printed or a report shows, a number, a colon and 64 hexadecimal digits"
            )
        return cls(int(number), sha256)


_LINKS = sa.table("chain_link", *(sa.column(n, sa.Integer if n in ("id", "row_id") else sa.String) for n in Link.__dataclass_fields__))


def _column(name: str) -> sa.ColumnClause[Any]:
    kind: Any = sa.JSON if name in _JSON else UtcDateTime if name in _TIME else None
    return sa.column(name, kind) if kind is not None else sa.column(name)


_TABLES = {table: sa.table(table, *map(_column, names)) for table, names in LINKED.items()}


def append(session: Session, row: Row) -> None:
    """Write a row of the record and set its number; it gets its link when the session commits."""
    session.add(row)
    session.flush()
    pending: list[tuple[str, int]] | None = session.info.get(PENDING)
    if pending is None:
        pending = session.info[PENDING] = []
        # at the end, when the transaction has every other lock that it needs: two that append never wait for each other in a circle
        event.listen(session, "before_commit", _link_pending, once=True)
    pending.append((str(row.__tablename__), row.id))


def _link_pending(session: Session) -> None:
    pending: list[tuple[str, int]] = session.info.pop(PENDING)
    hold_lock(session, POSTGRES_CHAIN_LOCK)
    link_rows(session.connection(), pending, f"cacapp {__version__}")


def link_rows(connection: Connection, rows: Iterable[tuple[str, int]], origin: str) -> None:
    """Append a link for each (table, row number), in this order. Nobody else may append meanwhile."""
    newest = newest_link(connection)
    number, previous = (0, GENESIS) if newest is None else (newest.id, newest.sha256)
    links = []
    for table, row_id, row_sha256 in _in_order(connection, list(rows)):
        number += 1
        sha256 = link_sha256(number, table, row_id, row_sha256, origin, previous)
        links.append((number, table, row_id, row_sha256, origin, previous, sha256))
        previous = sha256
    if links:
        connection.execute(sa.insert(_LINKS), [dict(zip(Link.__dataclass_fields__, link, strict=True)) for link in links])


def _in_order(connection: Connection, rows: list[tuple[str, int]]) -> Iterator[tuple[str, int, str]]:
    digests: dict[tuple[str, int], str] = {}
    for table in dict.fromkeys(table for table, _ in rows):
        ids = [row_id for of, row_id in rows if of == table]
        digests |= {(table, row_id): sha256 for row_id, sha256 in row_digests(connection, table, ids)}
    yield from ((table, row_id, digests[table, row_id]) for table, row_id in rows)


def row_digests(connection: Connection, table: str, ids: list[int]) -> Iterator[tuple[int, str]]:
    """Yield (number, digest) of the rows with these numbers that are there."""
    rows = _TABLES[table]
    for start in range(0, len(ids), ROWS_AT_ONCE):
        query = select(rows).where(rows.c.id.in_(ids[start : start + ROWS_AT_ONCE])).order_by(rows.c.id)
        for row in connection.execute(query).mappings():
            yield row["id"], row_sha256(table, dict(row))


def row_sha256(table: str, row: Mapping[str, Any]) -> str:
    """Return SHA-256 of a row as canonical JSON: the table and the columns of LINKED, times in UTC."""
    values = {name: value.isoformat() if isinstance(value := row[name], datetime) else value for name in LINKED[table]}
    return _sha256([table, values])


def link_sha256(number: int, table: str, row_id: int, digest: str, origin: str, previous: str) -> str:
    """Return SHA-256 of a link's other columns as canonical JSON."""
    return _sha256([number, table, row_id, digest, origin, previous])


def _sha256(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def newest_link(connection: Connection) -> Link | None:
    """Return the newest link; None without any."""
    row = connection.execute(select(_LINKS).order_by(_LINKS.c.id.desc()).limit(1)).first()
    return None if row is None else Link(*row)


def links(connection: Connection) -> Iterator[Link]:
    """Yield all links by number."""
    for row in connection.execution_options(yield_per=5000).execute(select(_LINKS).order_by(_LINKS.c.id)):
        yield Link(*row)


def links_of(connection: Connection, table: str, ids: list[int]) -> dict[int, Link]:
    """Return row number to link of the rows with these numbers of a table; those without a link are left out."""
    found: dict[int, Link] = {}
    for start in range(0, len(ids), ROWS_AT_ONCE):
        query = select(_LINKS).where(_LINKS.c.row_table == table, _LINKS.c.row_id.in_(ids[start : start + ROWS_AT_ONCE]))
        found |= {row.row_id: Link(*row) for row in connection.execute(query)}
    return found


def head(session: Session) -> Head | None:
    """Return the chain's newest number and digest; None while nothing is recorded."""
    newest = newest_link(session.connection())
    return None if newest is None else newest.head
