"""Requests and runs that were begun and are not finished: find them, try failed frames again, cancel them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from cacapp.db.engine.session import Database
from cacapp.db.runs.ledger import finish_run, get_run, retry_frames
from cacapp.db.runs.requests import close_request, open_requests, reopen_request
from cacapp.db.tables import Request, Run, RunFrame
from cacapp.exceptions import CacappError
from cacapp.runs.request import PipelineRequest, request_of_run


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A request to resume; ``request_id`` is None where it was made from a run that no command is recorded for."""

    request_id: int | None
    request: PipelineRequest


def unfinished_requests(db: Database) -> list[Unfinished]:
    """Return all open requests, the oldest first, then the unfinished runs that belong to none."""
    with db.reading() as session:
        found = [Unfinished(r.id, PipelineRequest.from_settings(r.command, r.settings)) for r in open_requests(session)]
        alone = session.exec(select(Run).where(Run.status == "running", col(Run.request_id).is_(None)).order_by(col(Run.id)))
        return found + [Unfinished(None, request_of_run(session, run)) for run in alone if run.step != "train"]


def unfinished_request_of(db: Database, run_id: int) -> list[Unfinished]:
    """Return the request that a run belongs to, or nothing where it is finished.

    Raises:
        UsageError: there is no such run.
        CacappError: the run was cancelled.
    """
    with db.session() as session:
        run = get_run(session, run_id)
        request = _request(session, run)
        _refuse_cancelled(run)
        if run.status not in ("running", "failed") and (request is None or request.status != "open"):
            return []
        return [_reopened(session, run)]


def retry_failed_frames(db: Database, run_id: int | None) -> list[Unfinished]:
    """Make the failed frames of a run pending, or those of each slide's latest run of each step, and return the requests they belong to.

    Raises:
        UsageError: there is no such run.
        CacappError: the run was cancelled, or is not finished.
    """
    with db.session() as session:
        runs = [get_run(session, run_id)] if run_id is not None else _latest_with_failures(session)
        found: dict[int | None, Unfinished] = {}
        for run in runs:
            _refuse_cancelled(run)
            if run.status == "running":
                raise CacappError(f"run {run.id} is not finished; finish it first: cacapp runs resume {run.id}")
            if not retry_frames(session, run.id):
                continue
            run.status, run.finished_at = "running", None
            unfinished = _reopened(session, run)
            found[unfinished.request_id or -run.id] = unfinished
        return list(found.values())


def cancel_run(db: Database, run_id: int) -> str:
    """Cancel an unfinished run and the steps that were to follow; return a sentence that says so.

    Raises:
        UsageError: there is no such run.
        CacappError: the run is finished.
    """
    with db.session() as session:
        run = get_run(session, run_id)
        request = _request(session, run)
        is_open = request is not None and request.status == "open"
        if run.status != "running" and not is_open:
            raise CacappError(f"run {run_id} is finished ({run.status}) and cannot be cancelled; its results stay")
        if run.status == "running":
            finish_run(session, run_id, "cancelled", "cancelled by a person")
        if is_open and run.request_id is not None:
            close_request(session, run.request_id, "cancelled")
        if run.status == "cancelled":
            return f"run {run_id} is cancelled"
        return f"run {run_id} is finished; the steps that were to follow are cancelled"


def _refuse_cancelled(run: Run) -> None:
    if run.status == "cancelled":
        raise CacappError(f"run {run.id} was cancelled; give its command again to begin it anew")


def _request(session: Session, run: Run) -> Request | None:
    return None if run.request_id is None else session.get(Request, run.request_id)


def _reopened(session: Session, run: Run) -> Unfinished:
    """Return the run's request, open again."""
    request = _request(session, run)
    if request is None or request.id is None:
        return Unfinished(None, request_of_run(session, run))
    reopen_request(session, request.id)
    return Unfinished(request.id, PipelineRequest.from_settings(request.command, request.settings))


def _latest_with_failures(session: Session) -> list[Run]:
    """Return each slide's latest run of each step, where frames of it failed."""
    latest: dict[tuple[int, str], Run] = {}
    for run in session.exec(select(Run).where(Run.status != "cancelled").order_by(col(Run.id))):
        latest[run.slide_id, run.step] = run
    failed = set(session.exec(select(RunFrame.run_id).where(col(RunFrame.status).in_(("failed", "quarantined"))).distinct()))
    return [run for run in latest.values() if run.id in failed and run.status != "running"]
