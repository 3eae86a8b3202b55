"""Small writes that no answer waits for: when a session was used, and who has looked at a first reading."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from sqlmodel import Session

from cacapp.db.engine.session import Database
from cacapp.exceptions import CacappError

IDLE_S, RETRY_S = 5.0, 1.0
FLUSH_S = 3.0
"""Longest wait for the last writes when the server stops."""

_log = logging.getLogger(__name__)


class Later:
    """Writes in the background, each in a transaction of its own, repeated until the database takes it. Safe to use from many threads."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._changed = threading.Condition()
        self._writes: dict[Hashable, tuple[Callable[[Session], None], Any]] = {}
        self._running = False

    def put(self, key: Hashable, write: Callable[[Session], None], value: Any = None) -> None:
        """Write soon. It replaces a write with the same key. ``value``: what ``waiting`` returns until it is committed."""
        with self._changed:
            self._writes[key] = (write, value)
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name="review-later", daemon=True).start()
            self._changed.notify_all()

    def waiting(self, key: Hashable) -> Any:
        """Return the value of a write that is not committed yet; None without one. Ask before the database is read."""
        with self._changed:
            return self._writes.get(key, (None, None))[1]

    def flush(self, seconds: float = FLUSH_S) -> bool:
        """Wait until all is written; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._writes, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: bool(self._writes), IDLE_S):
                    self._running = False
                    return
                key, put = next(iter(self._writes.items()))
            try:
                with self._db.session() as session:
                    put[0](session)
            except CacappError:
                time.sleep(RETRY_S)  # another program has the database; what waits here is in memory
                continue
            except Exception:
                _log.exception("a write in the background failed and is left out: %s", key)
            with self._changed:
                if self._writes.get(key) is put:
                    del self._writes[key]
                self._changed.notify_all()
