"""Run a step's per-frame work in this process, in local processes or on a cluster: one outcome for each item, as they end."""

from __future__ import annotations

import pickle
import queue
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Protocol, Self, TypeVar, cast

from cacapp.engine.machine import processes
from cacapp.engine.outcome import Outcome, timed
from cacapp.engine.process import Task, perform, start_process, stop_processes
from cacapp.exceptions import CacappError

Item = TypeVar("Item")
Result = TypeVar("Result")

ENOUGH_PX = 4 * 4128 * 3600
"""Work from which processes pay, px of all frames (four of full size): each takes two seconds to load what it works with."""

LOOK_UP_S = 0.5
"""Interval of the checks whether to stop, and whether a cluster has more workers, s."""


class Engine:
    """The place of per-frame work. A context manager; its processes end with it.

    The processes start with the first item, or when ``expect`` finds that they will be needed, and serve all later items, since each takes
    seconds to load its libraries.
    """

    def __init__(
        self, workers: int | None = None, *, cluster: str | None = None, frame_timeout_s: float | None = None, retries: int = 1
    ) -> None:
        """``workers``: so many processes, each with one thread. None: as many as cores and memory allow, or none for a few small frames.

        Args:
            cluster: address of a Dask scheduler; its workers do the work instead.
            frame_timeout_s: an item that takes longer fails, and its process with it.
            retries: how often an item that failed is to be tried again; the caller does it, since it keeps the record.
        """
        self.workers = workers
        self.cluster = cluster
        self.frame_timeout_s = frame_timeout_s
        self.retries = retries
        self._name = uuid.uuid4().hex
        self._place: _Place | None = None
        self._expected_px = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._place is not None:
            self._place.close(self._name)
            self._place = None

    def expect(self, frames: int, pixels: int, modules: Sequence[str] = ()) -> None:
        """Says how much work is to come, as far as is known: so many frames, of so many pixels in all.

        With ``modules``, which the work will need, processes of this machine start now where the frames are enough for them, one for
        each frame as long as there is room, and import them while the caller does something else. Without, they start with their first
        item.
        """
        self._expected_px = max(self._expected_px, pixels)
        if modules and self.cluster is None and (self._place is not None or self._in_processes()):
            place = self._started()
            assert isinstance(place, _Local)
            place.start(self._name, frames, modules)

    def _in_processes(self) -> bool:
        if self.workers is not None or self.frame_timeout_s is not None:
            return True
        return self._expected_px >= ENOUGH_PX and processes() > 1

    def run(
        self,
        work: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        apart: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome[Item, Result]]:
        """Does the work for each item. A failure, even of the process, costs that item only.

        Items are taken when there is room for them, a few more than are worked on, so that there may be any number of them.

        Args:
            work: a module-level function (or partial of one) where it is done in other processes: it is sent to them.
            apart: not in this process, however little it is: something may have crashed it before.
            stopped: looked at every half second and between items; true ends the iteration.

        Raises:
            CacappError: the cluster is gone.
        """
        if self._place is not None or self.cluster is not None or apart or self._in_processes():
            yield from self._elsewhere(work, items, stopped)
            return
        for item in items:
            if stopped():
                return
            yield timed(work, item)

    def _elsewhere(
        self, work: Callable[[Item], Result], items: Iterable[Item], stopped: Callable[[], bool]
    ) -> Iterator[Outcome[Item, Result]]:
        place = self._started()
        payload = pickle.dumps(work, pickle.HIGHEST_PROTOCOL)
        waiting = iter(items)
        running: dict[Future[Outcome[None, Any]], Item] = {}
        ended: queue.SimpleQueue[Future[Outcome[None, Any]]] = queue.SimpleQueue()

        def fill() -> None:
            capacity = place.capacity()
            while len(running) < capacity:
                try:
                    item = next(waiting)
                except StopIteration:
                    return
                future = place.submit(Task(self._name, payload, pickle.dumps(item, pickle.HIGHEST_PROTOCOL), self.frame_timeout_s))
                running[future] = item
                future.add_done_callback(ended.put)

        try:
            fill()
            while running and not stopped():
                try:
                    future = ended.get(timeout=LOOK_UP_S)
                except queue.Empty:
                    fill()
                    continue
                item = running.pop(future)
                fill()  # before the outcome is looked at: the workers go on while the caller stores it
                o = _outcome(future, place)
                yield Outcome(item, cast("Result | None", o.result), o.error, o.seconds, o.trace)
        finally:
            if running:
                for future in running:
                    future.cancel()
                place.abandon(self._name)

    def _started(self) -> _Place:
        if self._place is None:
            if self.cluster is None:
                self._place = _Local(self.workers)
            else:
                from cacapp.engine.cluster import Cluster

                self._place = Cluster(self.cluster)
        return self._place


@contextmanager
def engine_or_new(engine: Engine | None) -> Iterator[Engine]:
    """Give the engine, which stays open; without one, a new engine that ends with the body."""
    if engine is not None:
        yield engine
        return
    with Engine() as own:
        yield own


class _Place(Protocol):
    """A place where tasks are done."""

    def submit(self, task: Task) -> Future[Outcome[None, Any]]: ...
    def capacity(self) -> int: ...
    def lost(self) -> CacappError: ...
    def abandon(self, engine: str) -> None: ...
    def close(self, engine: str) -> None: ...


class _Local:
    """Processes of this machine, one for each of ``workers`` threads; None: as many as there is room for."""

    def __init__(self, workers: int | None) -> None:
        self._workers = processes() if workers is None else workers
        self._early = 0
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="cacapp-worker")

    def start(self, engine: str, items: int, modules: Sequence[str]) -> None:
        """Start a process for each thread that so many items need. Where the system refuses one, the items report it."""
        with suppress(OSError):
            while self._early < min(self._workers, items):
                self._early += 1
                start_process(engine, modules)

    def submit(self, task: Task) -> Future[Outcome[None, Any]]:
        return self._threads.submit(perform, task)

    def capacity(self) -> int:
        """Return one more than there are workers: the next item is ready when one ends."""
        return self._workers + 1

    def lost(self) -> CacappError:
        return CacappError("the worker processes were stopped; go on with: cacapp runs resume")

    def abandon(self, engine: str) -> None:
        stop_processes(engine, for_good=False)

    def close(self, engine: str) -> None:
        stop_processes(engine, for_good=True)
        self._threads.shutdown(wait=True, cancel_futures=True)


def _outcome(future: Future[Outcome[None, Any]], place: _Place) -> Outcome[None, Any]:
    try:
        return future.result()
    except CancelledError:  # a cluster's scheduler takes its tasks with it
        raise place.lost() from None
    except Exception as error:
        # a cluster gives up on a task whose workers died again and again
        return Outcome(None, None, f"{type(error).__name__}: {' '.join(str(error).split())}", 0.0)
