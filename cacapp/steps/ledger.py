"""The frame-by-frame loop that the steps share: find or begin the run, do what is missing, write each frame in one transaction.

A frame's results and its line in the ledger are one transaction, so that it is there as a whole or not at all. A run has one owner at a
time (see ``cacapp.db.lease``); a second process that is to do the same waits for the first, and goes on where that one ends or dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlmodel import Session, col, select

from cacapp import __version__
from cacapp.db.lease import Lease, TakenOverError, Watch, assert_owned, describe_owner, new_owner
from cacapp.db.requests import close_left_behind, go_on_with_request, refuse_cancelled
from cacapp.db.runs import OPEN, PARTLY, SUCCEEDED, finish_run, get_id, get_run, lock_slides, record_frame, retry_frames, start_run
from cacapp.db.session import Database
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow, Run, RunFrame
from cacapp.engine import Engine, Outcome
from cacapp.frames import State, is_remote, remember, remembered
from cacapp.steps.progress import Progress, RunReport
from cacapp.types import FrameSource

Item = TypeVar("Item")
Result = TypeVar("Result")
Keyed = tuple[int, Item, dict[State, str]]
"""A frame's id, what is worked on, and the digests of its files where they are known: they need not be read again for that."""

LOOK_S = 0.5
"""How often a process that waits for another looks whether it is done, s."""


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
        item: what ``work`` needs beside the frame's source, read from the database just before.
        write: stores a result; returns how many rows of interest, and details for the ledger.
        warn: a line about the result worth a person's attention, or None.
        request_id: the command it is part of.
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


def pixels_of(frames: Iterable[FrameRow]) -> int:
    """How much work they are, px: for ``Engine.expect``."""
    return sum(frame.height_px * frame.width_px for frame in frames)


def carry_out(db: Database, job: Job[Item, Result], *, force: bool, engine: Engine, progress: Progress) -> RunReport:
    """Does what is missing of a job, or all of it where it is new or ``force`` is on. Ctrl-C leaves a run that the next call resumes.

    A frame that fails is tried again after the others, ``engine.retries`` times over all calls, and is quarantined then.

    Where this process was starved or asleep for longer than its lease and another took the run over, it waits for that one as any
    second process does: what it had worked on meanwhile is not stored.

    The caller has started the progress, over the frames of all its jobs.

    Raises:
        CacappError: the database cannot be written, or the run was cancelled; frames that were finished are kept.
    """
    start = time.perf_counter()
    before: int | None = None
    written = shown = 0
    while True:
        claim = _claim(db, job, force, progress)
        before = claim.before if before is None else before
        settled = len(claim.done) + len(claim.quarantined)
        progress.advance(job.barcode, by=max(settled - shown, 0))
        worker = _Worker(db, job, claim, engine, progress)
        try:
            worker.work()
            break
        except TakenOverError as taken:
            if force and job.request_id is None:  # nothing tells that run from another, should it be begun again
                raise
            progress.warn(f"{job.step} {job.barcode}: {taken}")
        finally:
            written += worker.written
        shown = max(shown, len(claim.done) + len(claim.quarantined))
    with db.session() as session:
        lock_slides(session, [job.slide_id])
        close_left_behind(session, get_run(session, claim.run_id))
    failed = tuple((f.name, error) for f in job.frames if (error := claim.quarantined.get(_id(f))) is not None)
    return RunReport(
        job.barcode,
        claim.run_id,
        job.step,
        len(job.frames),
        len(claim.done),
        failed,
        repeated=claim.repeated,
        before=before,
        items=written,
        seconds=time.perf_counter() - start,
    )


@dataclass(slots=True)
class _Claim:
    """A run that is this process' to work on; with ``repeated`` there is nothing to do.

    ``todo`` holds frames, ``attempts`` and ``quarantined`` (their errors) are by frame id; ``unclean``: its last owner died at work;
    ``before``: frames done earlier.
    """

    run_id: int
    owner: str
    todo: list[FrameRow]
    done: set[int]
    quarantined: dict[int, str]
    attempts: dict[int, int]
    repeated: bool
    unclean: bool
    before: int


def _claim(db: Database, job: Job[Item, Result], force: bool, progress: Progress) -> _Claim:
    """Finds or begins the run; waits as long as another process works on it."""
    owner, watch, told = new_owner(), Watch(), False
    while True:
        with db.reading() as session:
            refuse_cancelled(session, job.request_id)
            found = _begun(session, job, force)
            waiting = found is not None and found.status == "running" and not watch.lapsed(found)
        if not waiting:
            with db.session() as session:
                claim = _take(session, job, force, owner, watch)
            if claim is not None:
                return claim
        elif not told and found is not None and found.owner is not None:
            who = describe_owner(found.owner)
            progress.warn(f"{job.step} {job.barcode}: {who} is working on it (run {found.id}); waiting until it is done")
            told = True
        time.sleep(LOOK_S)


def _take(session: Session, job: Job[Item, Result], force: bool, owner: str, watch: Watch) -> _Claim | None:
    """Makes the run this process' own; None where another was quicker."""
    lock_slides(session, [job.slide_id])
    go_on_with_request(session, job.request_id)
    run = _begun(session, job, force)
    if run is None:
        ids = [_id(f) for f in job.frames]
        run = start_run(
            session,
            step=job.step,
            slide_id=job.slide_id,
            fingerprint=job.fingerprint,
            app_version=__version__,
            frame_ids=ids,
            request_id=job.request_id,
            owner=owner,
            **job.run,
        )
        unclean = False
    else:
        session.refresh(run, with_for_update={"key_share": True})
        if run.status == "running" and not watch.lapsed(run):
            return None
        unclean = run.status == "running" and run.owner is not None
        if run.status == "failed":  # not one frame was done: what was wrong may be mended by now
            retry_frames(session, get_id(run))
    run_id = get_id(run)
    ledger = {row.frame_id: row for row in session.exec(select(RunFrame).where(RunFrame.run_id == run_id))}
    done = {frame_id for frame_id, row in ledger.items() if row.status == "done"}
    todo = [f for f in job.frames if ledger[_id(f)].status in OPEN]
    repeated = not todo and run.status in SUCCEEDED
    if not repeated:
        run.status, run.error, run.owner = "running", None, owner
        run.beats += 1
        if job.request_id is not None:
            run.request_id = job.request_id
        session.add(run)
    return _Claim(
        run_id,
        owner,
        todo,
        done,
        {i: row.error or "no reason stored" for i, row in ledger.items() if row.status == "quarantined"},
        {i: row.attempts for i, row in ledger.items()},
        repeated,
        unclean,
        len(done),
    )


@dataclass(slots=True)
class _Worker(Generic[Item, Result]):
    """Works off a claim's frames; ``written`` counts the rows of interest."""

    db: Database
    job: Job[Item, Result]
    claim: _Claim
    engine: Engine
    progress: Progress
    written: int = 0

    def work(self) -> None:
        """All that is left, and the run's end."""
        if self.claim.todo:
            with Lease(self.db, self.claim.run_id, self.claim.owner) as lease:
                self._work_off(lease)
                _finish(self.db, self.job, self.claim)
        elif not self.claim.repeated:  # killed between its last frame and its end
            _finish(self.db, self.job, self.claim)

    def _work_off(self, lease: Lease) -> None:
        """Rounds over the frames: those that failed with tries left come again in the next."""
        frames = self.claim.todo
        while frames:
            again: list[FrameRow] = []
            rows = {_id(f): f for f in frames}
            work = _Keyed(self.job.work)
            # what may have crashed the last owner is kept out of this process
            outcomes = self.engine.run(work, self._items(frames), apart=self.claim.unclean, stopped=lease.lost)
            with closing(outcomes):  # type: ignore[type-var]
                for outcome in outcomes:
                    frame = rows[outcome.item[0]]
                    self.claim.attempts[_id(frame)] += 1
                    if outcome.error is not None or outcome.result is None:
                        again += self._fail(frame, outcome)
                    else:
                        self.written += self._store(frame, outcome.result, outcome.seconds)
            if lease.lost():
                with self.db.session() as session:
                    assert_owned(session, self.claim.run_id, self.claim.owner)
            frames = again

    def _items(self, frames: Sequence[FrameRow]) -> Iterator[Keyed[Item]]:
        for frame in frames:
            with self.db.reading() as session:
                source = frame_source(session, frame)
                item = self.job.item(session, frame, source)
            yield _id(frame), item, remembered({c.uri for c in source.channels if not is_remote(c.uri)})

    def _store(self, frame: FrameRow, result: Result, seconds: float) -> int:
        tries = self.claim.attempts[_id(frame)]
        with self.db.session() as session:
            assert_owned(session, self.claim.run_id, self.claim.owner)
            count, details = self.job.write(session, self.claim.run_id, frame, result)
            record_frame(session, self.claim.run_id, _id(frame), "done", tries, None, seconds, details)
        self.claim.done.add(_id(frame))
        if line := self.job.warn(frame, result):
            self.progress.warn(f"slide {self.job.barcode}, frame {frame.name}: {line}")
        self.progress.advance(f"{self.job.barcode} {frame.name}")
        return count

    def _fail(self, frame: FrameRow, outcome: Outcome[Keyed[Item], Result]) -> list[FrameRow]:
        """Records a failed try; returns the frame where there is another."""
        error, tries = outcome.error or "no result", self.claim.attempts[_id(frame)]
        last = tries > self.engine.retries
        details = {"trace": outcome.trace} if outcome.trace else {}
        with self.db.session() as session:
            assert_owned(session, self.claim.run_id, self.claim.owner)
            state = "quarantined" if last else "failed"
            record_frame(session, self.claim.run_id, _id(frame), state, tries, error, outcome.seconds, details)
        if not last:
            return [frame]
        self.claim.quarantined[_id(frame)] = error
        self.progress.fail(f"{self.job.step}: slide {self.job.barcode}, frame {frame.name}: {error}")
        self.progress.advance(f"{self.job.barcode} {frame.name}")
        return []


def _finish(db: Database, job: Job[Item, Result], claim: _Claim) -> None:
    names = {_id(f): f.name for f in job.frames}
    text = "; ".join(f"{names[i]}: {error}" for i, error in claim.quarantined.items() if i in names) or None
    status = "failed" if job.frames and not claim.done else PARTLY if claim.quarantined else "succeeded"
    with db.session() as session:
        assert_owned(session, claim.run_id, claim.owner)
        finish_run(session, claim.run_id, status, text)


class _Keyed(Generic[Item, Result]):
    """Does the work for keyed items; picklable where the work is."""

    def __init__(self, work: Callable[[Item], Result]) -> None:
        self.work = work

    def __call__(self, keyed: Keyed[Item]) -> Result:
        _, item, digests = keyed
        remember(digests)
        return self.work(item)


def _begun(session: Session, job: Job[Item, Result], force: bool) -> Run | None:
    """The latest run that did, or began, exactly this; None where another has succeeded since, whose results are those being read.

    With ``force`` only one that this very command began.
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
    later = (*here, col(Run.status).in_(SUCCEEDED), col(Run.id) > get_id(run))
    return run if session.exec(select(Run.id).where(*later).limit(1)).first() is None else None


def _id(frame: FrameRow) -> int:
    assert frame.id is not None, "the row was flushed"
    return frame.id
