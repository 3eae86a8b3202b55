"""Threads of the review server, apart for each kind of work, so that no kind waits for another; within a kind people take turns."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from cacapp.exceptions import CacappError

IDLE_S = 5.0
"""A thread without work ends after this time."""

MAX_WAITING = 100
"""Requests of one person that may wait in a lane."""

LANES = {"admission": (4, 4), "read": (12, 6), "write": (8, 2), "draw": (4, 2)}
"""Kind of work to its threads, and how many of them one person may have at a time.

admission: who is asking. read: transactions that only read. write: those that wait for other writers, and argon2. draw: frames' files.
"""

Found = TypeVar("Found")
Waiting = tuple["Future[Any]", Callable[[], Any]]


class Busy(CacappError):  # noqa: N818 - an answer to a request, not a failure
    """This person has too much in work already."""


class Lane:
    """Threads for one kind of work: people take turns, each with a queue of their own. Safe to use from many threads and event loops."""

    def __init__(self, name: str, threads: int, per_person: int, max_waiting: int = MAX_WAITING) -> None:
        self.name = name
        self._most, self._per_person, self._max_waiting = threads, per_person, max_waiting
        self._changed = threading.Condition()
        self._queues: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._working: Counter[str] = Counter()
        self._threads = self._idle = 0

    def submit(self, person: str, work: Callable[[], Found]) -> Future[Found]:
        """Put work at the end of a person's queue. Raises Busy if the queue is full."""
        future: Future[Found] = Future()
        with self._changed:
            queue = self._queues.setdefault(person, deque())
            if len(queue) >= self._max_waiting and sum(not waiting.cancelled() for waiting, _ in queue) >= self._max_waiting:
                raise Busy(f"you have {len(queue)} requests waiting; wait until some are answered")
            queue.append((future, work))
            if sum(map(len, self._queues.values())) > self._idle and self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._serve, name=f"review-{self.name}", daemon=True).start()
            self._changed.notify()
        return future

    async def run(self, person: str, work: Callable[[], Found]) -> Found:
        """Do work in a thread of this lane. Work that nobody waits for any more is not begun."""
        context = contextvars.copy_context()
        return await asyncio.wrap_future(self.submit(person, lambda: context.run(work)))

    def ahead(self, future: Future[Any]) -> int:
        """Return how many waiting ones come before this one; 0 if it is next, in work or done."""
        with self._changed:
            turns = list(self._queues)
            for person, queue in self._queues.items():
                own = next((n for n, (waiting, _) in enumerate(queue) if waiting is future), None)
                if own is not None:
                    first = turns.index(person)
                    return own + sum(min(len(self._queues[o]), own + (n < first)) for n, o in enumerate(turns) if o != person)
        return 0

    def _serve(self) -> None:
        while (taken := self._take()) is not None:
            person, future, work = taken
            try:
                future.set_result(work())
            except BaseException as error:  # it is raised where the result is awaited
                future.set_exception(error)
            del future, work, taken
            with self._changed:
                self._working[person] -= 1
                if not self._working[person]:
                    del self._working[person]
                self._changed.notify()

    def _take(self) -> tuple[str, Future[Any], Callable[[], Any]] | None:
        """Wait for work; None after IDLE_S without any, which ends the thread."""
        with self._changed:
            while True:
                if (found := self._next()) is not None:
                    return found
                self._idle += 1
                woken = self._changed.wait(IDLE_S)
                self._idle -= 1
                if not woken:
                    found = self._next()
                    self._threads -= found is None
                    return found

    def _next(self) -> tuple[str, Future[Any], Callable[[], Any]] | None:
        """Take the work of the person whose turn it is, if there is any that may begin."""
        for person in list(self._queues):
            queue = self._queues[person]
            while queue and self._working.get(person, 0) < self._per_person:
                future, work = queue.popleft()
                if future.set_running_or_notify_cancel():
                    self._queues.move_to_end(person)
                    if not queue:
                        del self._queues[person]
                    self._working[person] += 1
                    return person, future, work
            if not queue:
                del self._queues[person]
        return None


def all_lanes() -> dict[str, Lane]:
    """Return the lanes of a server by name."""
    return {name: Lane(name, threads, per_person) for name, (threads, per_person) in LANES.items()}
