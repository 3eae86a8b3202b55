"""What was begun and is not finished: found in the database, and gone on with as it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from cacapp.cli.analyse import discover, engine_of
from cacapp.db.engine.session import Database
from cacapp.db.runs.ledger import finish_run, get_run, retry_frames
from cacapp.db.runs.requests import close_request, open_requests, reopen_request
from cacapp.db.tables import Request, Run, RunFrame
from cacapp.exceptions import CacappError
from cacapp.runs.progress import Progress
from cacapp.runs.work import Work, work_of
from cacapp.steps.pipeline import Done, go_on, perform


@dataclass(frozen=True, slots=True)
class Pending:
    """Work to go on with; ``request_id`` None: it is of a run that no command is recorded for."""

    request_id: int | None
    work: Work


@dataclass(frozen=True, slots=True)
class Ways:
    """How it is gone on with; None: as it was begun, or as many workers as there is room for."""

    workers: int | None
    cluster: str | None
    retries: int | None
    frame_timeout_s: float | None


def open_work(db: Database) -> list[Pending]:
    """All that was begun by a command, the oldest first, then runs begun without one."""
    with db.reading() as session:
        found = [Pending(r.id, Work.of(r.command, r.settings)) for r in open_requests(session)]
        alone = session.exec(select(Run).where(Run.status == "running", col(Run.request_id).is_(None)).order_by(col(Run.id)))
        return found + [Pending(None, work_of(session, run)) for run in alone if run.step != "train"]


def work_of_run(db: Database, run_id: int) -> list[Pending]:
    """The work that a run is part of, where it is not finished.

    Raises:
        UsageError: there is no such run.
        CacappError: it was cancelled.
    """
    with db.session() as session:
        run = get_run(session, run_id)
        request = _request(session, run)
        if run.status == "cancelled":
            raise CacappError(f"run {run_id} was cancelled; give its command again to begin it anew")
        if run.status not in ("running", "failed") and (request is None or request.status != "open"):
            return []
        return [_pending(session, run)]


def retried(db: Database, run_id: int | None) -> list[Pending]:
    """Makes the failed frames of a run, or of each slide's latest run of each step, pending, and returns the work they are part of.

    Raises:
        UsageError: there is no such run.
        CacappError: it was cancelled, or is under way.
    """
    with db.session() as session:
        runs = [get_run(session, run_id)] if run_id is not None else _latest_with_failures(session)
        found: dict[int | None, Pending] = {}
        for run in runs:
            if run.status == "cancelled":
                raise CacappError(f"run {run.id} was cancelled; give its command again to begin it anew")
            if run.status == "running":
                raise CacappError(f"run {run.id} is not finished; finish it first: cacapp runs resume {run.id}")
            if not retry_frames(session, run.id):
                continue
            run.status, run.finished_at = "running", None
            pending = _pending(session, run)
            found[pending.request_id or -run.id] = pending
        return list(found.values())


def give_up(db: Database, run_id: int) -> str:
    """Cancels a run that is not finished, and what was to follow; says what was done.

    Raises:
        UsageError: there is no such run.
        CacappError: it is finished.
    """
    with db.session() as session:
        run = get_run(session, run_id)
        request = _request(session, run)
        going = request is not None and request.status == "open"
        if run.status != "running" and not going:
            raise CacappError(f"run {run_id} is finished ({run.status}) and cannot be cancelled; its results stay")
        if run.status == "running":
            finish_run(session, run_id, "cancelled", "cancelled by a person")
        if going and run.request_id is not None:
            close_request(session, run.request_id, "cancelled")
        return f"run {run_id} is cancelled" if run.status == "cancelled" else f"run {run_id} is finished; what was to follow is cancelled"


def finish_all(db: Database, pending: Sequence[Pending], ways: Ways, progress: Progress, warn: Callable[[str], None]) -> list[Done]:
    """Goes on with all of it; where one cannot be gone on with, the others are.

    Raises:
        CacappError: none of it can.
    """
    done, errors = [], []
    for one in pending:
        work = one.work
        retries = work.retries if ways.retries is None else ways.retries
        timeout_s = work.frame_timeout_s if ways.frame_timeout_s is None else ways.frame_timeout_s
        host = discover(work.excluded_plugins, quiet=True)
        try:
            with engine_of(ways.workers, ways.cluster, retries, timeout_s) as engine:
                if one.request_id is None:
                    done.append(perform(db, host, work, engine, progress))
                else:
                    done.append(go_on(db, host, work, one.request_id, engine, progress))
        except CacappError as error:
            if len(pending) == 1:
                raise
            errors.append(error)
            progress.fail(str(error))
    if errors and not done:
        raise errors[0]
    return done


def _request(session: Session, run: Run) -> Request | None:
    return None if run.request_id is None else session.get(Request, run.request_id)


def _pending(session: Session, run: Run) -> Pending:
    request = _request(session, run)
    if request is None or request.id is None:
        return Pending(None, work_of(session, run))
    reopen_request(session, request.id)
    return Pending(request.id, Work.of(request.command, request.settings))


def _latest_with_failures(session: Session) -> list[Run]:
    """Each slide's latest run of each step, where frames of it failed."""
    latest: dict[tuple[int, str], Run] = {}
    for run in session.exec(select(Run).where(Run.status != "cancelled").order_by(col(Run.id))):
        latest[run.slide_id, run.step] = run
    failed = set(session.exec(select(RunFrame.run_id).where(col(RunFrame.status).in_(("failed", "quarantined"))).distinct()))
    return [run for run in latest.values() if run.id in failed and run.status != "running"]
