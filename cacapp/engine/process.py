"""Worker processes, seen from the coordinator: one for each thread that submits work, here or in a worker of a cluster.

Every process has its own pipes, so that a process killed in the middle of a message harms no other. (A process pool of the
standard library ends as a whole with one of its processes; one with a shared queue can be left with its lock held.)
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cacapp.engine.messages import ACTIVE, BEGUN, IDLE_EXIT, ITEM, RESULT, WORK
from cacapp.engine.outcome import Outcome
from cacapp.processes.parent import START_S, Child, EndedError, import_paths
from cacapp.types import Array

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
"""Threads of several workers that wait for each other on the same cores cost tens of times the work."""

KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""For glibc: freed memory, up to a gigabyte of it, stays with the process for the next array.

By default the larger planes are given back to the system at once, and each page of the next is asked for anew: a tenth of the time of
counting a frame. Under the setting that Dask gives its workers it was two fifths.
"""


@dataclass(frozen=True, slots=True)
class Task:
    """The work of an item, as it is sent to a process.

    Attributes:
        engine: the engine it belongs to; engines share no processes.
        payload, item: the pickled work and item.
        timeout_s: time limit, s; a process that takes longer is killed; None: no limit.
    """

    engine: str
    payload: bytes
    item: bytes
    timeout_s: float | None


class WorkerProcess:
    """A worker process with at most one item at a time; it imports ``modules`` before the first."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        # -P: what lies in the user's folder is data, and never imported
        command = [sys.executable, "-P", "-m", "cacapp.engine.worker", *modules]
        self._child = Child(command, os.environ | ONE_THREAD | KEPT_MEMORY | import_paths(), keep_stderr=False)
        self.kill = self._child.kill

    @property
    def alive(self) -> bool:
        return self._child.alive

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, task: Task) -> tuple[Any, str | None, float, str | None] | None:
        """Return result, error, seconds and traceback; None where the process ended before it began."""
        active, start, limit_s = "", time.perf_counter(), task.timeout_s
        try:
            # the time of starting and loading belongs to no item
            with self._child.limit(None if limit_s is None else limit_s + START_S):
                self._child.send({}, {WORK: _bytes(task.payload), ITEM: _bytes(task.item)})
                header, arrays = self._child.receive()
            if BEGUN in header:
                start = time.perf_counter()
                with self._child.limit(limit_s):
                    header, arrays = self._child.receive()
                    while ACTIVE in header:
                        active = header[ACTIVE]
                        header, arrays = self._child.receive()
        except EndedError as ended:
            if ended.code == IDLE_EXIT:
                return None
            return None, _why(ended, active, limit_s), time.perf_counter() - start, None
        result = pickle.loads(arrays[RESULT].data) if RESULT in arrays else None  # noqa: S301 from a process this program started
        return result, header["error"], header["seconds"], header["trace"]


def _bytes(pickled: bytes) -> Array:
    return np.frombuffer(pickled, np.uint8)


def _why(ended: EndedError, active: str, timeout_s: float | None) -> str:
    """Describe why a process ended, and which algorithm was active in it."""
    during = f", in {active}" if active else ""
    if ended.expired:
        return f"took longer than --frame-timeout {timeout_s:g} s and was stopped{during}"
    often = "; out of memory, most often: give a smaller --workers" if str(ended) == "SIGKILL" else ""
    return f"the process working on it was killed or crashed ({ended}{often}){during}"


_lock = threading.Lock()
_processes: dict[tuple[str, int], WorkerProcess] = {}
_started: dict[str, list[WorkerProcess]] = {}
"""Processes of an engine that no thread has taken yet."""
_closed: set[str] = set()


def perform(task: Task) -> Outcome[None, Any]:
    """Do a task in the process of this thread; start one if there is none. Runs in a thread of the coordinator or of a cluster's worker."""
    while True:
        process = _process_of(task.engine)
        if process is None:
            return Outcome(None, None, "stopped before it began", 0.0)
        answer = process.ask(task)
        if answer is not None:
            result, error, seconds, trace = answer
            return Outcome(None, result, error, seconds, trace)


def start_process(engine: str, modules: Sequence[str]) -> None:
    """Start a process for an engine before there is a task for it; the next thread that needs one takes it."""
    with _lock:
        if engine not in _closed:
            _started.setdefault(engine, []).append(WorkerProcess(modules))


def stop_processes(engine: str, *, for_good: bool) -> None:
    """Kill the processes of an engine; ``for_good``: it also gets no new ones."""
    with _lock:
        if for_good:
            _closed.add(engine)
        mine = [key for key in _processes if key[0] == engine]
        ended = [_processes.pop(key) for key in mine] + _started.pop(engine, [])
    for process in ended:
        process.kill()


def _process_of(engine: str) -> WorkerProcess | None:
    key = engine, threading.get_ident()
    with _lock:
        if engine in _closed:
            return None
        if key not in _processes or not _processes[key].alive:
            ready = [process for process in _started.get(engine, []) if process.alive]  # not those that ended because there was no work
            _processes[key] = ready[0] if ready else WorkerProcess()
            _started[engine] = ready[1:]
        return _processes[key]
