"""Commands as they were given: opened before the work, closed after it, gone on with when something came between."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from cacapp.db.engine.locks import one_at_a_time
from cacapp.db.runs.lease import is_dead
from cacapp.db.runs.ledger import SUCCEEDED, fingerprint, finish_run
from cacapp.db.tables import Request, Run
from cacapp.exceptions import CacappError

POSTGRES_REQUEST_LOCK = 0xCACA4E


def open_request(session: Session, command: str, settings: dict[str, Any], how: dict[str, Any], *, anew: bool = False) -> int:
    """The open request that is this one, or a new one.

    Args:
        settings: all that decides what is done, as JSON has it; no secrets.
        how: settings that decide nothing of the result; those given last hold.
        anew: a new one in any case.
    """
    one_at_a_time(session, POSTGRES_REQUEST_LOCK)
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
    """It cannot be done: closes it as ``failed``; one with a run that is not finished stays open. It is not forgotten: the same command may
    be at work in another process, which then opens it again (``go_on_with_request``)."""
    request = session.get(Request, request_id)
    begun = runs_of(session, request_id)
    if request is None or request.status != "open" or any(run.status == "running" for run in begun):
        return
    request.status = "failed"


def reopen_request(session: Session, request_id: int) -> None:
    """It has something left to do again."""
    session.get_one(Request, request_id).status = "open"


def close_left_behind(session: Session, run: Run) -> None:
    """Cancels what the run's command had begun of the same step on the same slide before its input changed: the results are ``run``'s.

    A count of the frames there were, say, while failed ones were being segmented again. Not one that a process may be working on, as
    far as this machine can tell. The caller holds the slide (``lock_slides``), as those do that take a run up.
    """
    if run.request_id is None or run.status not in SUCCEEDED:
        return
    for other in runs_of(session, run.request_id):
        same = other.step == run.step and other.slide_id == run.slide_id and other.id < run.id
        if same and other.status == "running" and (other.owner is None or is_dead(other.owner)):
            finish_run(session, other.id, "cancelled", f"superseded: what it was to work on changed, and run {run.id} has the results")


def go_on_with_request(session: Session, request_id: int | None) -> None:
    """It is worked on: one that another process gave up is open again."""
    request = session.get(Request, request_id) if request_id is not None else None
    if request is not None and request.status == "failed":
        request.status = "open"


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
