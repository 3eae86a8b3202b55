"""Reports that people ask for: built by few child processes, in turns, while the pages go on; nobody gets one after losing access."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic

from cacapp.db.engine.session import Database
from cacapp.db.review.readings import write_event
from cacapp.db.tables import Patient
from cacapp.exceptions import CacappError
from cacapp.isolation.process import PRIVATE, ChildProcess, Limits
from cacapp.review.authorisation import NotLoggedIn, Visitor, require_admitted, require_admitted_to_write
from cacapp.review.lanes import Lane
from cacapp.review.settings import Settings

PROCESSES, PER_PERSON = 2, 1
MAX_WAITING = 20
"""Reports of one person that may wait."""

LIMIT_S = 600.0
MAX_BYTES = 2**29
KEEP_S = 300.0
"""A report that nobody takes is dropped this long after it is ready."""

CHECK_S = 1.0
"""How often a report in work is checked for whether its reader still has access."""

Key = tuple[str, int, bool]


@dataclass(slots=True)
class Job:
    """A report that somebody waits for, or that is ready since ``ready_at``; ``built`` gives its bytes or raises why there are none."""

    built: Future[bytes]
    ready_at: float | None = None

    def __post_init__(self) -> None:
        self.built.add_done_callback(self._note_time)

    def _note_time(self, _built: Future[bytes]) -> None:
        self.ready_at = monotonic()


class Reports:
    """The reports in work and ready. Safe to use from many threads."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db, self._settings = db, settings
        self._lane = Lane("report", PROCESSES, PER_PERSON, MAX_WAITING)
        self._idle: SimpleQueue[ChildProcess] = SimpleQueue()
        self._jobs: dict[Key, Job] = {}
        self._lock = threading.Lock()

    def ask(self, visitor: Visitor, patient_id: int, pdf: bool) -> Job:
        """Return the visitor's report: the one in work or ready, else a new one at the end of their queue. Raises Busy if that is full."""
        key = (visitor.digest, patient_id, pdf)
        with self._lock:
            limit = monotonic() - KEEP_S
            self._jobs = {k: job for k, job in self._jobs.items() if job.ready_at is None or job.ready_at > limit}
            if key not in self._jobs:
                self._jobs[key] = Job(self._lane.submit(visitor.name, partial(self._build, visitor, patient_id, pdf)))
            return self._jobs[key]

    def known(self, visitor: Visitor, patient_id: int, pdf: bool) -> Job | None:
        """Return the visitor's report if they have asked for it and not taken it."""
        with self._lock:
            return self._jobs.get((visitor.digest, patient_id, pdf))

    def place(self, job: Job) -> int:
        """Return the place in the queue: 0 for a report in work or ready."""
        return 0 if job.built.running() or job.built.done() else self._lane.ahead(job.built) + 1

    async def wait(self, job: Job, seconds: float) -> bool:
        """Wait for a report; return whether it is ready."""
        if not job.built.done():
            await asyncio.wait({asyncio.ensure_future(asyncio.shield(asyncio.wrap_future(job.built)))}, timeout=seconds)
        return job.built.done()

    def take(self, visitor: Visitor, patient_id: int, pdf: bool) -> bytes:
        """Return a report that is ready, once: the next request builds a new one. Raises what its build raised."""
        with self._lock:
            job = self._jobs.pop((visitor.digest, patient_id, pdf))
        return job.built.result()

    def stop(self) -> None:
        """End the idle child processes; those at work end with this process."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def _build(self, visitor: Visitor, patient_id: int, pdf: bool) -> bytes:
        """Build a report in a child process, and write that it was opened before anybody has it."""
        self._require_admitted(visitor)
        try:
            child = self._idle.get_nowait()
        except Empty:
            child = ChildProcess("cacapp.review.report_process", limits=Limits(timeout_s=LIMIT_S))
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(visitor, child, done), name="review-watch", daemon=True)
        watcher.start()
        try:
            meta = {
                "db": self._db.address,
                "environment": {name: os.environ[name] for name in PRIVATE if name in os.environ},
                "patient_id": patient_id,
                "pdf": pdf,
            }
            _, arrays = child.ask("build", meta, at_most=MAX_BYTES)
        except CacappError:
            self._require_admitted(visitor)  # its end may be the watcher's
            raise
        finally:
            done.set()
            watcher.join()
            self._idle.put(child)
        check = partial(require_admitted_to_write, settings=self._settings, visitor=visitor)
        with self._db.checked(check), self._db.session() as session:
            code = session.get_one(Patient, patient_id).code
            write_event(session, visitor.name, "report taken as PDF" if pdf else "report shown", f"patient {code}", visitor.address)
        return arrays["report"].tobytes()

    def _watch(self, visitor: Visitor, child: ChildProcess, done: threading.Event) -> None:
        """Kill the child when its reader is not admitted any more."""
        while not done.wait(CHECK_S):
            try:
                self._require_admitted(visitor)
            except NotLoggedIn:
                child.close()
                return
            except CacappError:
                continue  # the database is busy

    def _require_admitted(self, visitor: Visitor) -> None:
        with self._db.reading() as session:
            require_admitted(session, self._settings, visitor)
