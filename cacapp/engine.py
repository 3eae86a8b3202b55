"""Runs a step's per-frame work, here or in local processes: one item in, one outcome out, in the order they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from cacapp.errors import CacappError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """What became of an item: its result, or the error in one line."""

    item: Item
    result: Result | None
    error: str | None
    seconds: float


class Engine:
    """Where per-frame work is done: in this process, or in local processes. A context; its processes end with it.

    The processes start when first needed and are kept, since each takes seconds to load what it works with.
    """

    def __init__(self, workers: int = 1) -> None:
        """``workers``: 1 works in this process; more start that many processes, at most two items a worker being under way."""
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop(wait=True)

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Item, Result]]:
        """Does the work for each item. A failure costs that item only.

        Args:
            work: a module-level function (or partial of one) where there are several workers: it is sent to them.
        """
        if self.workers <= 1 or len(items) <= 1:
            for item in items:
                yield _timed(work, item)
            return
        yield from self._parallel(work, items)

    def _parallel(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Outcome[Item, Result]]:
        waiting = list(items)[::-1]
        running: dict[Future[Outcome[Item, Result]], Item] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * self.workers:
                    item = waiting.pop()
                    running[_submit(self._started(), work, item)] = item
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    item = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        # nobody knows whose item killed the worker: those under way are done one by one, each in a process of its own
                        suspects = [item, *running.values()]
                        running.clear()
                        self._stop(wait=False)
                        yield from (_alone(work, suspect) for suspect in suspects)
                        break
        finally:
            for future in running:
                future.cancel()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = _pool(self.workers)
        return self._pool

    def _stop(self, wait: bool) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_futures=True)
            self._pool = None


def _alone(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    start = time.perf_counter()
    with _pool(1) as pool:
        try:
            return _submit(pool, work, item).result()
        except BrokenProcessPool:
            return Outcome(item, None, "the process working on it was killed or crashed", time.perf_counter() - start)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare)


def _submit(pool: ProcessPoolExecutor, work: Callable[[Item], Result], item: Item) -> Future[Outcome[Item, Result]]:
    """Hands over an item. Workers start here and inherit that Ctrl-C is not theirs to hear, from their first moment on."""
    if not hasattr(signal, "pthread_sigmask"):
        return pool.submit(_timed, work, item)
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_timed, work, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def _prepare() -> None:
    """Of each worker: one thread, and Ctrl-C left to the process that started it."""
    # before torch is imported: threads of several workers that wait for each other on the same cores cost tens of times the work
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _timed(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    start = time.perf_counter()
    try:
        return Outcome(item, work(item), None, time.perf_counter() - start)
    except CacappError as error:
        return Outcome(item, None, str(error), time.perf_counter() - start)
    except MemoryError:
        return Outcome(item, None, "out of memory; close other programs, or use fewer --workers", time.perf_counter() - start)
