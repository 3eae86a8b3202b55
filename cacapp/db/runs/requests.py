"""Requests: commands with their settings, opened before the work, closed after it, and continued after an interruption."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from cacapp.db.engine.locks import hold_lock
from cacapp.db.runs.lease import is_dead
from cacapp.db.runs.ledger import SUCCEEDED, fingerprint, finish_run
from cacapp.db.tables import Request, Run
from cacapp.exceptions import CacappError

POSTGRES_REQUEST_LOCK = 0xCACA4E


def open_request(session: Session, command: str, settings: dict[str, Any], how: dict[str, Any], *, anew: bool = False) -> int:
    """Return the open request with the same command and settings, or a new one.

    Args:
        settings: all that determines the result, as JSON values; no secrets.
        how: settings without influence on the result; the last ones apply.
        anew: always open a new one.
    """
    hold_lock(session, POSTGRES_REQUEST_LOCK)
    digest = fingerprint(command=command, settings=settings)
    same = select(Request).where(Request.digest == digest, Request.status == "open").order_by(col(Request.id).desc()).limit(1)
    found = None if anew else session.exec(same).first()
    if found is None:
        found = Request(command=command, digest=digest)
        session.add(found)
    found.settings = settings | how
    session.flush()
    return _id(found)


def close_request(session: Session, request_id: int, status: str) -> None:
    """Close the request as ``done`` or ``cancelled``, unless it is closed already."""
    request = session.get(Request, request_id)
    if request is not None and request.status == "open":
        request.status = status


def give_up_request(session: Session, request_id: int) -> None:
    """Close a request that cannot be done as ``failed``, unless it has an unfinished run. Another process that works on the same command
    opens it again (``continue_request``)."""
    request = session.get(Request, request_id)
    begun = runs_of(session, request_id)
    if request is None or request.status != "open" or any(run.status == "running" for run in begun):
        return
    request.status = "failed"


def reopen_request(session: Session, request_id: int) -> None:
    """Open a request again that has frames to do."""
    session.get_one(Request, request_id).status = "open"


def cancel_outdated_runs(session: Session, run: Run) -> None:
    """Cancel older runs of the same command, step and slide that ``run`` has replaced after a change of their input.

    For example a count of the frames before failed ones were segmented again. A run that another process may execute, as far as this
    machine can determine, is not cancelled. The caller has locked the slide (``lock_slides``), as any process that acquires a run.
    """
    if run.request_id is None or run.status not in SUCCEEDED:
        return
    for other in runs_of(session, run.request_id):
        same = other.step == run.step and other.slide_id == run.slide_id and other.id < run.id
        if same and other.status == "running" and (other.owner is None or is_dead(other.owner)):
            finish_run(session, other.id, "cancelled", f"superseded: what it was to work on changed, and run {run.id} has the results")


def continue_request(session: Session, request_id: int | None) -> None:
    """Open a request again that another process closed as failed, since this process continues it."""
    request = session.get(Request, request_id) if request_id is not None else None
    if request is not None and request.status == "failed":
        request.status = "open"


def open_requests(session: Session) -> list[Request]:
    """Return the open requests, the oldest first."""
    return list(session.exec(select(Request).where(Request.status == "open").order_by(col(Request.id))))


def refuse_cancelled(session: Session, request_id: int | None) -> None:
    """Raise CacappError if the request was cancelled."""
    request = session.get(Request, request_id) if request_id is not None else None
    if request is not None and request.status == "cancelled":
        raise CacappError("this work was cancelled (cacapp runs cancel); give the command again to begin it anew")


def runs_of(session: Session, request_id: int) -> list[Run]:
    """Return the runs that the request started or continued, in order."""
    return list(session.exec(select(Run).where(Run.request_id == request_id).order_by(col(Run.id))))


def _id(request: Request) -> int:
    assert request.id is not None, "the row was flushed"
    return request.id
