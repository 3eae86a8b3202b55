"""Running runs as they go on, for all who watch: the record is asked once a second, however many look."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col
from starlette.concurrency import run_in_threadpool

from cacapp.db.engine.session import Database
from cacapp.db.tables import Run, RunFrame, Slide
from cacapp.exceptions import CacappError

FRESH_S = 1.0
BEAT_S = 15.0


class Live:
    """What is running now."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._asked = 0.0
        self._known: list[dict[str, Any]] = []

    def runs(self) -> list[dict[str, Any]]:
        """Runs that are not finished, with their frames done and in all; at most a second old."""
        with self._lock:
            if time.monotonic() - self._asked > FRESH_S:
                try:
                    with self._db.reading() as session:
                        self._known = running(session)
                except CacappError:
                    pass  # a busy database is asked again in a second
                self._asked = time.monotonic()
            return self._known

    async def events(self, ended: asyncio.Event) -> AsyncIterator[str]:
        """Server-sent events: "runs" when something changed, a comment now and then, so that a lost reader is noticed."""
        last, beat = "", time.monotonic()
        while not ended.is_set():
            found = json.dumps(await run_in_threadpool(self.runs))
            if found != last:
                last, beat = found, time.monotonic()
                yield f"event: runs\ndata: {found}\n\n"
            elif time.monotonic() - beat > BEAT_S:
                beat = time.monotonic()
                yield ": still here\n\n"
            try:
                await asyncio.wait_for(ended.wait(), FRESH_S)
            except TimeoutError:
                continue


def running(session: Session) -> list[dict[str, Any]]:
    """Runs with status "running", oldest first."""
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
