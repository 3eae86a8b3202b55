"""The frame-by-frame loop that segment and count share: find or start the run, do what is missing, write each frame in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlmodel import Session, col, select

from cacapp import __version__
from cacapp.db.runs import finish_run, get_id, record_frame, start_run
from cacapp.db.session import Database
from cacapp.db.tables import FrameRow, Run, RunFrame
from cacapp.engine import Engine
from cacapp.steps.progress import Progress, RunReport

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Job(Generic[Item, Result]):
    """A step on one slide.

    Attributes:
        slide_id, barcode: the slide.
        step: its name in the ledger.
        fingerprint: SHA-256 over all that decides the result.
        run: the further columns of the run row.
        frames: the frames to work on.
        work: item -> result, without the database; sent to other processes.
        item: what ``work`` needs, read from the database just before.
        write: stores a result; returns how many rows of interest, and details for the ledger.
        warn: a line about the result worth a person's attention, or None.
    """

    slide_id: int
    barcode: str
    step: str
    fingerprint: str
    run: dict[str, Any]
    frames: Sequence[FrameRow]
    work: Callable[[Item], Result]
    item: Callable[[Session, FrameRow], Item]
    write: Callable[[Session, int, FrameRow, Result], tuple[int, dict[str, Any]]]
    warn: Callable[[FrameRow, Result], str | None]


def carry_out(db: Database, job: Job[Item, Result], *, force: bool, engine: Engine, progress: Progress) -> RunReport:
    """Does what is missing of a job, or all of it where it is new or ``force`` is on. Ctrl-C leaves a run that the next call resumes.

    The caller has started the progress, over the frames of all its jobs.
    """
    start = time.perf_counter()
    with db.session() as session:
        run = None if force else _unfinished_or_done(session, job)
        if run is None:
            ids = [_id(f) for f in job.frames]
            run = start_run(
                session,
                step=job.step,
                slide_id=job.slide_id,
                fingerprint=job.fingerprint,
                app_version=__version__,
                frame_ids=ids,
                **job.run,
            )
        run_id = get_id(run)
        ledger = {row.frame_id: row for row in session.exec(select(RunFrame).where(RunFrame.run_id == run_id))}
        attempts = {frame_id: row.attempts for frame_id, row in ledger.items()}
        todo = [f for f in job.frames if ledger[_id(f)].status != "done"]
        progress.advance(job.barcode, by=len(job.frames) - len(todo))
        if not todo:
            repeated = run.status == "succeeded"
            if not repeated:  # killed between its last frame and its end
                finish_run(session, run_id)
            return RunReport(job.barcode, run_id, job.step, len(job.frames), len(job.frames), repeated=repeated)
        run.status, run.error = "running", None
        items = [(_id(f), job.item(session, f)) for f in todo]
    rows = {_id(f): f for f in todo}
    failed: list[tuple[str, str]] = []
    written = 0
    for outcome in engine.run(_Keyed(job.work), items):
        frame = rows[outcome.item[0]]
        tries = attempts[_id(frame)] + 1
        with db.session() as session:
            if outcome.error is not None or outcome.result is None:
                error = outcome.error or "no result"
                failed.append((frame.name, error))
                record_frame(session, run_id, _id(frame), "failed", tries, error, outcome.seconds)
            else:
                count, details = job.write(session, run_id, frame, outcome.result)
                written += count
                record_frame(session, run_id, _id(frame), "done", tries, None, outcome.seconds, details)
        if outcome.error is not None:
            progress.fail(f"{job.step}: slide {job.barcode}, frame {frame.name}: {outcome.error}")
        elif outcome.result is not None and (line := job.warn(frame, outcome.result)):
            progress.warn(f"slide {job.barcode}, frame {frame.name}: {line}")
        progress.advance(f"{job.barcode} {frame.name}")
    done = len(job.frames) - len(failed)
    with db.session() as session:
        text = "; ".join(f"{name}: {error}" for name, error in failed) or None
        finish_run(session, run_id, "succeeded" if done else "failed", text)
    return RunReport(
        job.barcode, run_id, job.step, len(job.frames), done, tuple(failed), items=written, seconds=time.perf_counter() - start
    )


class _Keyed(Generic[Item, Result]):
    """Does the work for (key, item) pairs; picklable where the work is."""

    def __init__(self, work: Callable[[Item], Result]) -> None:
        self.work = work

    def __call__(self, keyed: tuple[int, Item]) -> Result:
        return self.work(keyed[1])


def _unfinished_or_done(session: Session, job: Job[Item, Result]) -> Run | None:
    """The latest run that did, or began, exactly this; None where another has succeeded since, whose results are those being read."""
    here = (Run.slide_id == job.slide_id, Run.step == job.step)
    same = (*here, Run.fingerprint == job.fingerprint, Run.status != "cancelled")
    run = session.exec(select(Run).where(*same).order_by(col(Run.id).desc()).limit(1)).first()
    if run is None:
        return None
    later = (*here, Run.status == "succeeded", col(Run.id) > get_id(run))
    return run if session.exec(select(Run.id).where(*later).limit(1)).first() is None else None


def _id(frame: FrameRow) -> int:
    assert frame.id is not None, "the row was flushed"
    return frame.id
