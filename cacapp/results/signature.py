"""Check of signatures: whether what was signed is still what the database says, and whether anyone bent the record around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlmodel import Session

from cacapp.db.review.chain import Head, links_of
from cacapp.db.review.chain_checks import changed_rows, gaps
from cacapp.db.review.guards import missing_guards
from cacapp.db.review.readings import digest, digest_of_reviews, reviews, sign_offs
from cacapp.db.review.signed_content import content_of, differences
from cacapp.db.review.tables import Amendment, SignOff
from cacapp.db.tables import Patient


def signature_problems(session: Session, patient_id: int) -> tuple[str, ...]:
    """Return what is wrong with a patient's signatures and the record around them, in words; empty where all is as it was signed.

    The latest signature is checked with its cells, calls and signals, earlier ones by their record, reviews and links. ``cacapp db check``
    does all of that for all of them, and reads the whole chain.
    """
    signed = sign_offs(session, patient_id)
    if not signed:
        return ()
    connection = session.connection()
    found = [*missing_guards(connection), *gaps(connection)]
    for sign_off, amendment in signed:
        found += changed_rows(connection, "sign_off", [sign_off.id])
        if amendment is not None:
            found += changed_rows(connection, "amendment", [amendment.id])
        for problem in problems_of(session, sign_off, amendment, content=sign_off is signed[-1][0]):
            found.append(f"signature {sign_off.id} by {sign_off.signer}: {problem}")
    return tuple(dict.fromkeys(found))


def problems_of(session: Session, signed: SignOff, amendment: Amendment | None, *, content: bool) -> Iterator[str]:
    """Yield what is not as this signature says. ``content``: compare the cells, calls, signals and files too."""
    previous = None if signed.previous_id is None else session.get(SignOff, signed.previous_id)
    intact = digest(signed.record, previous.sha256 if previous else None) == signed.sha256
    if not intact:
        yield "its record is not the one that was signed, or the signature before it was changed"
    if not isinstance(signed.record, dict):
        return
    yield from _columns(session, signed)
    if not intact:
        return  # nothing can be compared with a record that somebody wrote
    yield from _reviews(session, signed.record)
    covered = signed.record.get("content")
    if content and covered is not None:
        now = content_of(session, signed.run_id, signed.patient_id, covered)
        yield from differences(session, covered, now, readings=amendment is None)


def _columns(session: Session, signed: SignOff) -> Iterator[str]:
    patient = session.get(Patient, signed.patient_id)
    columns: dict[str, Any] = {
        "signer": signed.signer,
        "signed_at": signed.signed_at.isoformat(),
        "comment": signed.comment,
        "patient": patient.code if patient else None,
    }
    for name, value in columns.items():
        if signed.record.get(name) != value:
            yield f"its {name.replace('_', ' ')} is {value!r}, the signed record says {signed.record.get(name)!r}"


def _reviews(session: Session, record: dict[str, Any]) -> Iterator[str]:
    known = record.get("reviews")
    if known is None:
        return
    runs = _counted(record)
    rows = [r for r in reviews(session, runs) if r.id <= known["newest"]]
    yield from changed_rows(session.connection(), "review", [r.id for r in rows])
    if len(rows) != known["rows"]:
        yield f"it covers {known['rows']} reviews, there are {len(rows)}"
    elif digest_of_reviews(rows) != known["sha256"]:
        yield "its reviews are not those that were signed"


def _counted(record: dict[str, Any]) -> Sequence[int]:
    return [run["run"] for run in record["runs"] if run["step"] == "count"]


def head_of(session: Session, signed: SignOff) -> Head | None:
    """Return the chain's head as of a signature, which covers all that was recorded before; None for a row without a link."""
    link = links_of(session.connection(), "sign_off", [signed.id]).get(signed.id)
    return None if link is None else link.head
