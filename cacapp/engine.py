"""Runs a step's per-frame work, here or in local processes: one item in, one outcome out, in the order they end."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

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


def run_items(work: Callable[[Item], Result], items: Sequence[Item], workers: int = 1) -> Iterator[Outcome[Item, Result]]:
    """Does the work for each item. A failure costs that item only.

    Args:
        work: a module-level function (or partial of one) when ``workers`` > 1: it is sent to other processes.
        workers: 1 works in this process; more start that many processes, at most two items a worker being under way.
    """
    if workers <= 1 or len(items) <= 1:
        for item in items:
            yield _timed(work, item)
        return
    yield from _parallel(work, items, workers)


def _parallel(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Outcome[Item, Result]]:
    waiting = list(items)[::-1]
    pool = _pool(workers)
    running: dict[Future[Outcome[Item, Result]], Item] = {}
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:
                item = waiting.pop()
                running[pool.submit(_timed, work, item)] = item
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    # nobody knows whose item killed the worker: those under way are done one by one, each in a process of its own
                    suspects = [item, *running.values()]
                    running.clear()
                    pool.shutdown(wait=False, cancel_futures=True)
                    yield from (_alone(work, suspect) for suspect in suspects)
                    pool = _pool(workers)
                    break
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _alone(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    start = time.perf_counter()
    with _pool(1) as pool:
        try:
            return pool.submit(_timed, work, item).result()
        except BrokenProcessPool:
            return Outcome(item, None, "the process working on it was killed or crashed", time.perf_counter() - start)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_limit_threads)


def _limit_threads() -> None:
    import cv2

    cv2.setNumThreads(1)


def _timed(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    start = time.perf_counter()
    try:
        return Outcome(item, work(item), None, time.perf_counter() - start)
    except CacappError as error:
        return Outcome(item, None, str(error), time.perf_counter() - start)
    except MemoryError:
        return Outcome(item, None, "out of memory; close other programs, or use fewer --workers", time.perf_counter() - start)
