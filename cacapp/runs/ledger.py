"""The frame-by-frame loop that the steps share: find or begin the run, do what is missing, write each frame in one transaction.

A frame's results and its line in the ledger are one transaction, so that it is there as a whole or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic

from cacapp.db.engine.session import Database
from cacapp.db.runs.lease import Lease, TakenOverError, assert_owned
from cacapp.db.runs.ledger import PARTLY, finish_run, get_run, lock_slides, record_frame
from cacapp.db.runs.requests import close_left_behind
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow
from cacapp.engine import Engine, Outcome
from cacapp.frames import State, add_known_digests, is_remote, known_digests
from cacapp.runs.acquire import AcquiredRun, Item, Job, Result, acquire_run, frame_id
from cacapp.runs.progress import Progress, RunReport

Keyed = tuple[int, Item, dict[State, str]]
"""A frame's id, what is worked on, and the digests of its files where they are known: they need not be read again for that."""


def announce_frames(engine: Engine, frames: Iterable[FrameRow]) -> None:
    """Tells the engine how much work the frames of all jobs are, before the first is carried out."""
    sizes = [frame.height_px * frame.width_px for frame in frames]
    engine.expect(len(sizes), sum(sizes))


def run_job(db: Database, job: Job[Item, Result], *, force: bool, engine: Engine, progress: Progress) -> RunReport:
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
        with Lease(db) as lease:
            claim = acquire_run(db, job, force, progress, lease)
            before = claim.before if before is None else before
            settled = len(claim.done) + len(claim.quarantined)
            progress.advance(job.barcode, by=max(settled - shown, 0))
            worker = _Worker(db, job, claim, lease, engine, progress)
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
    failed = tuple((f.name, error) for f in job.frames if (error := claim.quarantined.get(frame_id(f))) is not None)
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
class _Worker(Generic[Item, Result]):
    """Works off a claim's frames; ``written`` counts the rows of interest."""

    db: Database
    job: Job[Item, Result]
    claim: AcquiredRun
    lease: Lease
    engine: Engine
    progress: Progress
    written: int = 0

    def work(self) -> None:
        """All that is left, and the run's end."""
        if self.claim.todo:
            self.lease.keep()
            self._work_off()
        if not self.claim.repeated:  # without frames left: killed between its last one and its end
            self._finish()

    def _work_off(self) -> None:
        """Rounds over the frames: those that failed with tries left come again in the next."""
        frames = self.claim.todo
        while frames:
            again: list[FrameRow] = []
            rows = {frame_id(f): f for f in frames}
            work = _Keyed(self.job.work)
            # what may have crashed the last owner is kept out of this process
            outcomes = self.engine.run(work, self._items(frames), apart=self.claim.unclean, stopped=self.lease.lost)
            with closing(outcomes):  # type: ignore[type-var]
                for outcome in outcomes:
                    frame = rows[outcome.item[0]]
                    self.claim.attempts[frame_id(frame)] += 1
                    if outcome.error is not None or outcome.result is None:
                        again += self._fail(frame, outcome)
                    else:
                        self.written += self._store(frame, outcome.result, outcome.seconds)
            if self.lease.lost():
                with self.db.session() as session:
                    assert_owned(session, self.claim.run_id, self.lease.owner)
            frames = again

    def _items(self, frames: Sequence[FrameRow]) -> Iterator[Keyed[Item]]:
        for frame in frames:
            with self.db.reading() as session:
                source = frame_source(session, frame)
                item = self.job.item(session, frame, source)
            # on another machine the same path, size and times may be another file
            shared = {c.uri for c in source.channels if not is_remote(c.uri)} if self.engine.cluster is None else ()
            yield frame_id(frame), item, known_digests(shared)

    def _store(self, frame: FrameRow, result: Result, seconds: float) -> int:
        tries = self.claim.attempts[frame_id(frame)]
        with self.db.session() as session:
            assert_owned(session, self.claim.run_id, self.lease.owner)
            count, details = self.job.write(session, self.claim.run_id, frame, result)
            record_frame(session, self.claim.run_id, frame_id(frame), "done", tries, None, seconds, details)
        self.claim.done.add(frame_id(frame))
        if line := self.job.warn(frame, result):
            self.progress.warn(f"slide {self.job.barcode}, frame {frame.name}: {line}")
        self.progress.advance(f"{self.job.barcode} {frame.name}")
        return count

    def _fail(self, frame: FrameRow, outcome: Outcome[Keyed[Item], Result]) -> list[FrameRow]:
        """Records a failed try; returns the frame where there is another."""
        error, tries = outcome.error or "no result", self.claim.attempts[frame_id(frame)]
        last = tries > self.engine.retries
        details = {"trace": outcome.trace} if outcome.trace else {}
        with self.db.session() as session:
            assert_owned(session, self.claim.run_id, self.lease.owner)
            state = "quarantined" if last else "failed"
            record_frame(session, self.claim.run_id, frame_id(frame), state, tries, error, outcome.seconds, details)
        if not last:
            return [frame]
        self.claim.quarantined[frame_id(frame)] = error
        self.progress.fail(f"{self.job.step}: slide {self.job.barcode}, frame {frame.name}: {error}")
        self.progress.advance(f"{self.job.barcode} {frame.name}")
        return []

    def _finish(self) -> None:
        claim, frames = self.claim, self.job.frames
        names = {frame_id(f): f.name for f in frames}
        text = "; ".join(f"{names[i]}: {error}" for i, error in claim.quarantined.items() if i in names) or None
        status = "failed" if frames and not claim.done else PARTLY if claim.quarantined else "succeeded"
        with self.db.session() as session:
            assert_owned(session, claim.run_id, self.lease.owner)
            finish_run(session, claim.run_id, status, text)


class _Keyed(Generic[Item, Result]):
    """Does the work for keyed items; picklable where the work is."""

    def __init__(self, work: Callable[[Item], Result]) -> None:
        self.work = work

    def __call__(self, keyed: Keyed[Item]) -> Result:
        _, item, digests = keyed
        add_known_digests(digests)
        return self.work(item)
