"""Background drawing of the pictures of flagged cells, from the newest count on."""

from __future__ import annotations

import threading

from sqlalchemy import select
from sqlmodel import col

from cacapp.db.queries import latest_run_ids
from cacapp.db.tables import Slide
from cacapp.exceptions import CacappError
from cacapp.review.context import ReviewContext

POLL_S = 20.0


class Prefetcher:
    """Background threads that draw pictures into the cache folder until the server stops."""

    def __init__(self, context: ReviewContext, threads: int) -> None:
        self._context = context
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"prefetch-{i}", daemon=True) for i in range(threads)]
        self._done: set[int] = set()

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop after the current frame."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                for run_id in self._pending_runs():
                    self._draw(run_id)
            except CacappError:
                pass  # the page with the picture shows the error
            self._stop.wait(POLL_S)

    def _pending_runs(self) -> list[int]:
        with self._context.db.reading() as session:
            slides = [s for s in session.execute(select(col(Slide.id))).scalars() if s is not None]
            latest = latest_run_ids(session, "count", slides).values()
        return sorted((run for run in latest if run not in self._done), reverse=True)

    def _draw(self, run_id: int) -> None:
        with self._context.db.reading() as session:
            index = self._context.index(session, run_id)
        for frame_id in dict.fromkeys(c.frame_id for c in index.ordered if c.flagged):
            flagged = [c.cell_id for c in index.by_frame[frame_id] if c.flagged]
            for wide in (False, True):  # the gallery's pictures, then the cell pages'
                if self._stop.is_set():
                    return
                try:
                    with self._context.db.reading() as session:
                        found = self._context.cell_cache.get(session, index.run, flagged, wide=wide)
                    first, *others = found.values()
                    self._context.crops.sprite(first, others)
                except CacappError:
                    continue  # the frame is missing; its page shows the error
        self._done.add(run_id)
