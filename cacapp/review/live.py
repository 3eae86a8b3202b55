"""Progress of running runs; the database is queried at most once a second for all browsers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col
from starlette.concurrency import run_in_threadpool

from cacapp.db.engine.session import Database
from cacapp.db.tables import Run, RunFrame, Slide
from cacapp.exceptions import CacappError
from cacapp.review.authorisation import NotLoggedIn
from cacapp.review.lanes import Busy

MAX_STREAMS = 30
"""Open streams of one person; a browser has one for each worklist that it shows."""

REFRESH_S = 1.0
HEARTBEAT_S = 15.0


class Live:
    """The running runs. Safe to use from many threads."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._queried_at = 0.0
        self._runs: list[dict[str, Any]] = []
        self._watching: Counter[str] = Counter()

    def runs(self) -> list[dict[str, Any]]:
        """Return the running runs with their progress, at most a second old."""
        with self._lock:
            if time.monotonic() - self._queried_at > REFRESH_S:
                try:
                    with self._db.reading() as session:
                        self._runs = running(session)
                except CacappError:
                    pass  # the database is busy; the next query is due in a second
                self._queried_at = time.monotonic()
            return self._runs

    def require_place(self, person: str) -> None:
        """Raise Busy if a person has MAX_STREAMS streams open."""
        if self._watching[person] >= MAX_STREAMS:
            raise Busy(f"you have {MAX_STREAMS} worklists open; close some")

    async def events(self, ended: asyncio.Event, person: str, check: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
        """Yield server-sent events: "runs" after a change, else a comment at intervals, so that a lost connection is noticed.

        ``check`` raises NotLoggedIn when the person is not admitted any more, which ends the stream before its next event; where it
        cannot tell, the event waits.
        """
        self._watching[person] += 1
        try:
            async for event in self._events(ended, check):
                yield event
        except NotLoggedIn:
            return
        finally:
            self._watching[person] -= 1

    async def _events(self, ended: asyncio.Event, check: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
        last, sent_at = "", time.monotonic()
        while not ended.is_set():
            found = json.dumps(await run_in_threadpool(self.runs))
            try:
                await check()
            except NotLoggedIn:
                raise
            except CacappError:
                found = last  # the database is busy
            if found != last:
                last, sent_at = found, time.monotonic()
                yield f"event: runs\ndata: {found}\n\n"
            elif time.monotonic() - sent_at > HEARTBEAT_S:
                sent_at = time.monotonic()
                yield ": still here\n\n"
            try:
                await asyncio.wait_for(ended.wait(), REFRESH_S)
            except TimeoutError:
                continue


def running(session: Session) -> list[dict[str, Any]]:
    """Read the runs with status "running", the oldest first, with their frames: done, failed and in total."""
    query = (
        select(col(Run.id), col(Run.step), col(Slide.id), col(Slide.barcode), col(RunFrame.status), func.count())
        .select_from(Run)
        .join(Slide, col(Run.slide_id) == col(Slide.id))
        .join(RunFrame, col(RunFrame.run_id) == col(Run.id))
        .where(col(Run.status) == "running")
        .group_by(col(Run.id), col(Run.step), col(Slide.id), col(Slide.barcode), col(RunFrame.status))
        .order_by(col(Run.id))
    )
    found: dict[int | None, dict[str, Any]] = {}
    for run_id, step, slide_id, barcode, status, frames in session.connection().execute(query):
        one = found.setdefault(
            run_id, {"run": run_id, "step": step, "slide": slide_id, "barcode": barcode, "done": 0, "failed": 0, "frames": 0}
        )
        one["frames"] += frames
        if status != "pending":
            one["done"] += frames
        if status in ("failed", "quarantined"):
            one["failed"] += frames
    return list(found.values())
