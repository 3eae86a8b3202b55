"""Compare the chain with itself, and with the rows that it covers: what was changed, removed or inserted past cacapp, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, func, select
from sqlmodel import col

from cacapp.db.review.chain import GENESIS, LINKED, Head, Link, links, links_of, row_digests
from cacapp.db.review.tables import Amendment, AuditEvent, ChainLink, Review, SignOff
from cacapp.db.tables import Patient

_ROWS_AT_ONCE = 5000
_MODELS: dict[str, Any] = {"review": Review, "sign_off": SignOff, "amendment": Amendment, "audit_event": AuditEvent}


def broken_links(connection: Connection, head: Head | None = None) -> Iterator[str]:
    """Yield what is wrong with the links themselves: gaps, links that do not fit, and a chain that is not the one of ``head``."""
    number, previous = 0, GENESIS
    found: str | None = None
    for link in links(connection):
        if link.id != number + 1:
            missing = f"link {number + 1} is" if link.id == number + 2 else f"links {number + 1} to {link.id - 1} are"
            yield f"{missing} missing: rows of the record were removed"
        elif link.previous_sha256 != previous or not link.fits:
            yield f"link {link.id} (of {link.row_table} {link.row_id}) does not fit: it or a link before it was changed"
        number, previous = link.id, link.sha256
        if head is not None and link.id == head.id:
            found = link.sha256
    if head is not None and found != head.sha256:
        why = f"the chain ends at link {number}" if found is None else "its digest is another one"
        yield f"the head {head.id}:{head.sha256[:12]}… is not in the chain, {why}: the record was changed or set back since then"


def broken_rows(connection: Connection) -> Iterator[str]:
    """Yield every row of the record that is changed, missing, or was never linked."""
    for table in LINKED:
        model = _MODELS[table]
        ids = list(connection.execute(select(col(model.id)).order_by(col(model.id))).scalars())
        linked = select(col(ChainLink.row_id)).where(col(ChainLink.row_table) == table).order_by(col(ChainLink.row_id))
        everyone = sorted({*ids, *connection.execute(linked).scalars()})
        for start in range(0, len(everyone), _ROWS_AT_ONCE):
            yield from changed_rows(connection, table, everyone[start : start + _ROWS_AT_ONCE])
    other = select(col(ChainLink.row_table)).where(col(ChainLink.row_table).not_in(LINKED)).distinct()
    for table in connection.execute(other).scalars():
        yield f"the chain has links of table {table}, which has none"


def changed_rows(connection: Connection, table: str, ids: list[int]) -> Iterator[str]:
    """Yield those of the rows with these numbers that are not as they were written, or were not written by cacapp."""
    made = links_of(connection, table, ids)
    found = dict(row_digests(connection, table, ids))
    wrong: dict[int, str] = {}
    for row_id in ids:
        link = made.get(row_id)
        if link is None and row_id in found:
            wrong[row_id] = "was not written by cacapp: the chain has no link of it"
        elif link is not None and row_id not in found:
            wrong[row_id] = "was deleted"
        elif link is not None and found.get(row_id) != link.row_sha256:
            wrong[row_id] = "was changed after it was written" + since(link)
    names = _names(connection, table, wrong)
    yield from (f"{names[row_id]} {what}" for row_id, what in wrong.items())


def gaps(connection: Connection) -> Iterator[str]:
    """Yield, from counts alone, that links or rows are missing: a short form of ``broken_links`` and ``broken_rows`` for each page."""
    n, last = connection.execute(select(func.count(), func.coalesce(func.max(col(ChainLink.id)), 0))).one()
    rows = sum(connection.execute(select(func.count()).select_from(model)).scalar_one() for model in _MODELS.values())
    if n != last or n != rows:
        yield f"the chain has {n} links up to number {last} for {rows} rows of the record"


def since(link: Link) -> str:
    """Return from when on a link proves its row, in words; "" for a row that was linked when it was written."""
    return "" if link.origin.startswith("cacapp ") else f" and linked ({link.origin})"


def _names(connection: Connection, table: str, ids: Iterable[int]) -> dict[int, str]:
    """Return row number to the row's name for people, by what it says now."""
    model, wanted = _MODELS[table], list(ids)
    kind = {"sign_off": "signature", "audit_event": "audit event"}.get(table, table)
    names = {row_id: f"{kind} {row_id}" for row_id in wanted}
    codes: dict[int, str] = {}
    if table == "sign_off" and wanted:
        codes = {row.id: row.code for row in connection.execute(select(col(Patient.id), col(Patient.code)))}
    for start in range(0, len(wanted), 500):
        query = select(*model.__table__.columns).where(col(model.id).in_(wanted[start : start + 500]))
        for row in connection.execute(query):
            if table == "review":
                names[row.id] += f" (cell {row.cell_id}, run {row.run_id}, {row.kind} by {row.reviewer})"
            elif table == "sign_off":
                names[row.id] += f" (patient {codes.get(row.patient_id, row.patient_id)}, by {row.signer})"
            elif table == "amendment":
                names[row.id] += f" (of signature {row.sign_off_id}, by {row.opened_by})"
            else:
                names[row.id] += f" ({row.action} by {row.account})"
    return names
