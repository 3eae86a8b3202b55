"""Pictures drawn before anyone asks: those of flagged cells of slides that wait for review, newest count first."""

from __future__ import annotations

import threading

from sqlalchemy import select
from sqlmodel import col

from cacapp.db.queries import latest_run_ids
from cacapp.db.tables import Slide
from cacapp.exceptions import CacappError
from cacapp.review.context import Desk

LOOK_AGAIN_S = 20.0


class Ahead:
    """Threads in the background that end with the server."""

    def __init__(self, desk: Desk, threads: int) -> None:
        self._desk = desk
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"ahead-{i}", daemon=True) for i in range(threads)]
        self._done: set[int] = set()

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the frame at hand."""
        self._ended.set()
        for thread in self._threads:
            thread.join(5)

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                for run_id in self._waiting():
                    self._draw(run_id)
            except CacappError:
                pass  # the page that asks for the picture says what is wrong
            self._ended.wait(LOOK_AGAIN_S)

    def _waiting(self) -> list[int]:
        with self._desk.db.reading() as session:
            slides = [s for s in session.execute(select(col(Slide.id))).scalars() if s is not None]
            latest = latest_run_ids(session, "count", slides).values()
        return sorted((run for run in latest if run not in self._done), reverse=True)

    def _draw(self, run_id: int) -> None:
        with self._desk.db.reading() as session:
            index = self._desk.index(session, run_id)
        for frame_id in dict.fromkeys(c.frame_id for c in index.ordered if c.flagged):
            flagged = [c.cell_id for c in index.by_frame[frame_id] if c.flagged]
            for context in (False, True):  # the gallery's pictures, then the cell pages'
                if self._ended.is_set():
                    return
                try:
                    with self._desk.db.reading() as session:
                        found = self._desk.portraits.of(session, index.run, index.assay.channels, flagged, context=context)
                    first, *others = found.values()
                    self._desk.crops.sprite(first, others)
                except CacappError:
                    continue  # a frame that is gone; its page says so
        self._done.add(run_id)
