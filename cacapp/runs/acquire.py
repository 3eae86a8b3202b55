"""Acquire exclusive ownership of a run: find the run that a step on a slide must resume, or begin it.

A run has one owner at a time (see ``cacapp.db.runs.lease``). A second process with the same job waits for the first, and resumes the run
where that one ends or dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlmodel import Session, col, select

from cacapp import __version__
from cacapp.db.engine.session import Database
from cacapp.db.runs.lease import Lease, Watch, describe_owner
from cacapp.db.runs.ledger import OPEN, SUCCEEDED, lock_slides, retry_frames, start_run
from cacapp.db.runs.requests import continue_request, refuse_cancelled
from cacapp.db.tables import FrameRow, Run, RunFrame
from cacapp.runs.progress import Progress
from cacapp.types import FrameSource

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL_S = 0.5
"""Interval at which a waiting process checks whether the other one is done, s."""


@dataclass(frozen=True, slots=True)
class Job(Generic[Item, Result]):
    """A step on one slide.

    Attributes:
        slide_id, barcode: the slide.
        step: its name in the ledger.
        fingerprint: SHA-256 over all that decides the result.
        run: the further columns of the run row.
        frames: the frames to process.
        work: item -> result, without the database; sent to other processes.
        item: reads from the database what ``work`` needs of a frame, just before.
        write: stores a result; returns the number of cells or signals written, and details for the ledger.
        warn: returns a line about the result that a person should know, or None.
        request_id: the request that it is part of.
    """

    slide_id: int
    barcode: str
    step: str
    fingerprint: str
    run: dict[str, Any]
    frames: Sequence[FrameRow]
    work: Callable[[Item], Result]
    item: Callable[[Session, FrameRow, FrameSource], Item]
    write: Callable[[Session, int, FrameRow, Result], tuple[int, dict[str, Any]]]
    warn: Callable[[FrameRow, Result], str | None]
    request_id: int | None = None


@dataclass(slots=True)
class AcquiredRun:
    """A run that this process owns.

    Attributes:
        todo: frames to process.
        done: ids of frames with results.
        quarantined: errors by frame id; ``attempts``: tries by frame id.
        repeated: an earlier run did exactly this; there is nothing to do.
        crashed: the last owner died while it processed a frame.
        before: number of frames that were done before.
    """

    run_id: int
    todo: list[FrameRow]
    done: set[int]
    quarantined: dict[int, str]
    attempts: dict[int, int]
    repeated: bool
    crashed: bool
    before: int


def acquire_run(db: Database, job: Job[Item, Result], force: bool, progress: Progress, lease: Lease) -> AcquiredRun:
    """Find or begin the run for the owner of the lease; wait as long as another process owns it."""
    watch, announced = Watch(), False
    while True:
        with db.reading() as session:
            refuse_cancelled(session, job.request_id)
            found = _matching_run(session, job, force)
            waiting = found is not None and found.status == "running" and not watch.lapsed(found)
        if not waiting:
            with db.session() as session:
                acquired = _acquire(session, job, force, lease, watch)
            if acquired is not None:
                return acquired
        elif not announced and found is not None and found.owner is not None:
            who = describe_owner(found.owner)
            progress.warn(f"{job.step} {job.barcode}: {who} is working on it (run {found.id}); waiting until it is done")
            announced = True
        time.sleep(POLL_S)


def _acquire(session: Session, job: Job[Item, Result], force: bool, lease: Lease, watch: Watch) -> AcquiredRun | None:
    """Make this process the owner of the run; return None where another one was quicker."""
    lock_slides(session, [job.slide_id])
    continue_request(session, job.request_id)
    run = _matching_run(session, job, force)
    if run is None:
        ids = [f.id for f in job.frames]
        run = start_run(
            session,
            step=job.step,
            slide_id=job.slide_id,
            fingerprint=job.fingerprint,
            app_version=__version__,
            frame_ids=ids,
            request_id=job.request_id,
            owner=lease.owner,
            **job.run,
        )
        crashed = False
    else:
        session.refresh(run, with_for_update={"key_share": True})
        if run.status == "running" and not watch.lapsed(run):
            return None
        crashed = run.status == "running" and run.owner is not None
        if run.status == "failed":  # no frame was done: the cause may be removed by now
            retry_frames(session, run.id)
    run_id = run.id
    ledger = {row.frame_id: row for row in session.exec(select(RunFrame).where(RunFrame.run_id == run_id))}
    done = {frame_id for frame_id, row in ledger.items() if row.status == "done"}
    todo = [f for f in job.frames if ledger[f.id].status in OPEN]
    repeated = not todo and run.status in SUCCEEDED
    if not repeated:
        run.status, run.error, run.owner = "running", None, lease.owner
        run.beats += 1
        lease.set_run(run_id)
        if job.request_id is not None:
            run.request_id = job.request_id
        session.add(run)
    return AcquiredRun(
        run_id,
        todo,
        done,
        {i: row.error or "no reason stored" for i, row in ledger.items() if row.status == "quarantined"},
        {i: row.attempts for i, row in ledger.items()},
        repeated,
        crashed,
        len(done),
    )


def _matching_run(session: Session, job: Job[Item, Result], force: bool) -> Run | None:
    """Return the latest run with this fingerprint; None where another run of the step has succeeded since, whose results are shown.

    With ``force`` only a run that this very request began.
    """
    here = (Run.slide_id == job.slide_id, Run.step == job.step)
    same = [*here, Run.fingerprint == job.fingerprint, Run.status != "cancelled"]
    if force:
        if job.request_id is None:
            return None
        same.append(Run.request_id == job.request_id)
    run = session.exec(select(Run).where(*same).order_by(col(Run.id).desc()).limit(1)).first()
    if run is None:
        return None
    later = (*here, col(Run.status).in_(SUCCEEDED), col(Run.id) > run.id)
    return run if session.exec(select(Run.id).where(*later).limit(1)).first() is None else None
