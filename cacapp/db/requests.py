"""Commands as they were given: opened before the work, closed after it, gone on with when something came between."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from cacapp.db.runs import fingerprint
from cacapp.db.tables import Request, Run
from cacapp.errors import CacappError


def open_request(session: Session, command: str, settings: dict[str, Any], how: dict[str, Any], *, anew: bool = False) -> int:
    """The open request that is this one, or a new one.

    Args:
        settings: all that decides what is done, as JSON has it; no secrets.
        how: settings that decide nothing of the result; those given last hold.
        anew: a new one in any case.
    """
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
    """Closes it as ``done`` or ``cancelled``, unless it is closed already."""
    request = session.get(Request, request_id)
    if request is not None and request.status == "open":
        request.status = status


def give_up_request(session: Session, request_id: int) -> None:
    """It cannot be done: closes it as ``failed``, or forgets it where it began no run. One with a run that is not finished stays open."""
    request = session.get(Request, request_id)
    begun = runs_of(session, request_id)
    if request is None or request.status != "open" or any(run.status == "running" for run in begun):
        return
    if begun:
        request.status = "failed"
    else:
        session.delete(request)


def reopen_request(session: Session, request_id: int) -> None:
    """It has something left to do again."""
    session.get_one(Request, request_id).status = "open"


def open_requests(session: Session) -> list[Request]:
    """Those that were not finished, the oldest first."""
    return list(session.exec(select(Request).where(Request.status == "open").order_by(col(Request.id))))


def refuse_cancelled(session: Session, request_id: int | None) -> None:
    """Raises CacappError where the request was cancelled."""
    request = session.get(Request, request_id) if request_id is not None else None
    if request is not None and request.status == "cancelled":
        raise CacappError("this work was cancelled (cacapp runs cancel); give the command again to begin it anew")


def runs_of(session: Session, request_id: int) -> list[Run]:
    """The runs it began or went on with, in order."""
    return list(session.exec(select(Run).where(Run.request_id == request_id).order_by(col(Run.id))))


def _id(request: Request) -> int:
    assert request.id is not None, "the row was flushed"
    return request.id
