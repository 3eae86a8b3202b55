"""Process the frames of a run and record each in the ledger: the loop that all steps share.

A frame's results and its line in the ledger are written in one transaction: a frame has either all of its results or none.
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
from cacapp.db.runs.requests import cancel_outdated_runs
from cacapp.db.slides import frame_source
from cacapp.db.tables import FrameRow
from cacapp.engine import Engine, Outcome
from cacapp.frames import State, add_known_digests, is_remote, known_digests
from cacapp.runs.acquire import AcquiredRun, Item, Job, Result, acquire_run
from cacapp.runs.progress import Progress, RunReport

Keyed = tuple[int, Item, dict[State, str]]
"""A frame's id, the item to process, and the known digests of its files, which need not be computed again."""


def announce_frames(engine: Engine, frames: Iterable[FrameRow]) -> None:
    """Announce the frames of all jobs to the engine, before the first job runs."""
    sizes = [frame.height_px * frame.width_px for frame in frames]
    engine.expect(len(sizes), sum(sizes))


def run_job(db: Database, job: Job[Item, Result], *, force: bool, engine: Engine, progress: Progress) -> RunReport:
    """Process the frames of a job that have no result yet, or all of them with ``force``. After Ctrl-C the next call resumes the run.

    A frame that fails is tried again after the others, ``engine.retries`` times over all calls, and is then quarantined.

    Where this process was suspended for longer than its lease and another one took over the run, it waits for that one; results that
    it computed meanwhile are not stored.

    The caller starts the progress, over the frames of all its jobs.

    Raises:
        CacappError: the database cannot be written, or the run was cancelled; finished frames keep their results.
    """
    start = time.perf_counter()
    before: int | None = None
    written = shown = 0
    while True:
        with Lease(db) as lease:
            acquired = acquire_run(db, job, force, progress, lease)
            before = acquired.before if before is None else before
            settled = len(acquired.done) + len(acquired.quarantined)
            progress.advance(job.barcode, by=max(settled - shown, 0))
            worker = _Worker(db, job, acquired, lease, engine, progress)
            try:
                worker.work()
                break
            except TakenOverError as taken:
                if force and job.request_id is None:  # without a request, the run could not be found again
                    raise
                progress.warn(f"{job.step} {job.barcode}: {taken}")
            finally:
                written += worker.written
        shown = max(shown, len(acquired.done) + len(acquired.quarantined))
    with db.session() as session:
        lock_slides(session, [job.slide_id])
        cancel_outdated_runs(session, get_run(session, acquired.run_id))
    failed = tuple((f.name, error) for f in job.frames if (error := acquired.quarantined.get(f.id)) is not None)
    return RunReport(
        job.barcode,
        acquired.run_id,
        job.step,
        len(job.frames),
        len(acquired.done),
        failed,
        repeated=acquired.repeated,
        before=before,
        items=written,
        seconds=time.perf_counter() - start,
    )


@dataclass(slots=True)
class _Worker(Generic[Item, Result]):
    """Processes the frames of an acquired run; ``written`` counts the cells or signals."""

    db: Database
    job: Job[Item, Result]
    run: AcquiredRun
    lease: Lease
    engine: Engine
    progress: Progress
    written: int = 0

    def work(self) -> None:
        """Process all frames that are left, and finish the run."""
        if self.run.todo:
            self.lease.start()
            self._process_frames()
        if not self.run.repeated:  # no frames left: it was killed between its last frame and its end
            self._finish()

    def _process_frames(self) -> None:
        """Process the frames in rounds: a frame that failed and has tries left is in the next round."""
        frames = self.run.todo
        while frames:
            again: list[FrameRow] = []
            rows = {f.id: f for f in frames}
            work = _Keyed(self.job.work)
            # a frame that may have crashed the last owner must not crash this process
            outcomes = self.engine.run(work, self._items(frames), apart=self.run.crashed, stopped=self.lease.is_lost)
            with closing(outcomes):  # type: ignore[type-var]
                for outcome in outcomes:
                    frame = rows[outcome.item[0]]
                    self.run.attempts[frame.id] += 1
                    if outcome.error is not None or outcome.result is None:
                        again += self._fail(frame, outcome)
                    else:
                        self.written += self._store(frame, outcome.result, outcome.seconds)
            if self.lease.is_lost():
                with self.db.session() as session:
                    assert_owned(session, self.run.run_id, self.lease.owner)
            frames = again

    def _items(self, frames: Sequence[FrameRow]) -> Iterator[Keyed[Item]]:
        for frame in frames:
            with self.db.reading() as session:
                source = frame_source(session, frame)
                item = self.job.item(session, frame, source)
            # on another machine the same path, size and times may be another file
            shared = {c.uri for c in source.channels if not is_remote(c.uri)} if self.engine.cluster is None else ()
            yield frame.id, item, known_digests(shared)

    def _store(self, frame: FrameRow, result: Result, seconds: float) -> int:
        tries = self.run.attempts[frame.id]
        with self.db.session() as session:
            assert_owned(session, self.run.run_id, self.lease.owner)
            count, details = self.job.write(session, self.run.run_id, frame, result)
            record_frame(session, self.run.run_id, frame.id, "done", tries, None, seconds, details)
        self.run.done.add(frame.id)
        if line := self.job.warn(frame, result):
            self.progress.warn(f"slide {self.job.barcode}, frame {frame.name}: {line}")
        self.progress.advance(f"{self.job.barcode} {frame.name}")
        return count

    def _fail(self, frame: FrameRow, outcome: Outcome[Keyed[Item], Result]) -> list[FrameRow]:
        """Record a failed try; return the frame if it is to be tried again."""
        error, tries = outcome.error or "no result", self.run.attempts[frame.id]
        last = tries > self.engine.retries
        details = {"trace": outcome.trace} if outcome.trace else {}
        with self.db.session() as session:
            assert_owned(session, self.run.run_id, self.lease.owner)
            state = "quarantined" if last else "failed"
            record_frame(session, self.run.run_id, frame.id, state, tries, error, outcome.seconds, details)
        if not last:
            return [frame]
        self.run.quarantined[frame.id] = error
        self.progress.fail(f"{self.job.step}: slide {self.job.barcode}, frame {frame.name}: {error}")
        self.progress.advance(f"{self.job.barcode} {frame.name}")
        return []

    def _finish(self) -> None:
        acquired, frames = self.run, self.job.frames
        names = {f.id: f.name for f in frames}
        text = "; ".join(f"{names[i]}: {error}" for i, error in acquired.quarantined.items() if i in names) or None
        status = "failed" if frames and not acquired.done else PARTLY if acquired.quarantined else "succeeded"
        with self.db.session() as session:
            assert_owned(session, acquired.run_id, self.lease.owner)
            finish_run(session, acquired.run_id, status, text)


class _Keyed(Generic[Item, Result]):
    """Applies a job's work to keyed items; picklable if the work is."""

    def __init__(self, work: Callable[[Item], Result]) -> None:
        self.work = work

    def __call__(self, keyed: Keyed[Item]) -> Result:
        _, item, digests = keyed
        add_known_digests(digests)
        return self.work(item)
