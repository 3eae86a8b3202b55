"""Pictures drawn before anyone asks: those of flagged cells of slides that wait for review, newest count first."""

from __future__ import annotations

import threading
from typing import cast

from sqlalchemy import select
from sqlmodel import col

from cacapp.db.cell_states import places
from cacapp.db.queries import latest_run_ids
from cacapp.db.tables import FrameRow, Slide
from cacapp.errors import CacappError
from cacapp.review.desk import Desk

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
        side = self._desk.crops.side_px(cast(int, index.run.source_run_id))
        seen: set[int] = set()
        for called in index.ordered:
            if self._ended.is_set():
                return
            if not called.flagged or called.frame_id in seen:
                continue
            seen.add(called.frame_id)
            flagged = [c.cell_id for c in index.by_frame[called.frame_id] if c.flagged]
            try:
                with self._desk.db.reading() as session:
                    found = list(places(session, flagged).values())
                    frame = session.get_one(FrameRow, called.frame_id)
                self._desk.crops.sprite(found[0], frame, side, found)
            except CacappError:
                continue  # a frame that is gone; its page says so
        self._done.add(run_id)
