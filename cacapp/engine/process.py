"""Worker processes as their coordinator sees them: one for each thread that hands out work, here or in a worker of a cluster.

Every process has a pipe of its own, so that one which is killed in the middle of a message harms no other. (A process pool of the
standard library ends as a whole with one of its processes; one with a shared queue can be left with its lock held.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from cacapp.engine.outcome import Outcome
from cacapp.engine.wire import BEGUN, IDLE_EXIT, AtWork, receive, send

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
"""Threads of several workers that wait for each other on the same cores cost tens of times the work."""

KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""For glibc: freed memory, up to a gigabyte of it, stays with the process for the next array.

By default the larger planes are given back to the system at once, and each page of the next is asked for anew: a tenth of the time of
counting a frame. Under the setting that Dask gives its workers it was two fifths.
"""

START_S = 120.0
"""What a process may take, beyond an item's time, to start and to load the work: it counts for no item."""


@dataclass(frozen=True, slots=True)
class Task:
    """An item's work as it travels.

    Attributes:
        engine: the engine it belongs to; its processes are kept apart from those of others.
        payload, item: the pickled work and item.
        timeout_s: a process that takes longer is killed; None: it may take as long as it likes.
    """

    engine: str
    payload: bytes
    item: bytes
    timeout_s: float | None


def _environment() -> dict[str, str]:
    return os.environ | ONE_THREAD | KEPT_MEMORY | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


class WorkerProcess:
    """A process with one item at most under way; it imports ``modules`` before the first."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        own_group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {"creationflags": 0x00000200}
        # -P: what lies in the user's folder is data, and never imported
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cacapp.engine.worker", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            **own_group,
        )
        self._expired = False
        self._at_work = ""

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, task: Task) -> tuple[Any, str | None, float, str | None] | None:
        """Result, error, seconds and trace; None where the process ended before it began."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start, self._at_work = time.perf_counter(), ""
        limit = None if task.timeout_s is None else _Limit(self._expire, task.timeout_s + START_S)
        try:
            with suppress(OSError):
                send(cast(Any, self._process.stdin), (task.payload, task.item))
            answer = receive(cast(Any, self._process.stdout))
            if answer == BEGUN:
                start = time.perf_counter()
                if limit is not None and task.timeout_s is not None:
                    limit.stop()
                    limit = _Limit(self._expire, task.timeout_s)
                answer = receive(cast(Any, self._process.stdout))
            while isinstance(answer, AtWork):
                self._at_work = answer.who
                answer = receive(cast(Any, self._process.stdout))
            return cast(tuple[Any, str | None, float, str | None], answer)
        except (EOFError, ValueError):  # ended, or stopped by ``kill`` in another thread, which closes the pipes
            code = self._process.wait()
            if code == IDLE_EXIT:
                return None
            return None, self._why(code, task), time.perf_counter() - start, None
        finally:
            if limit is not None:
                limit.stop()

    def kill(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                cast(Any, pipe).close()
        self._process.wait()

    def _expire(self) -> None:
        self._expired = True
        self._process.kill()

    def _why(self, code: int, task: Task) -> str:
        blamed = f", in {self._at_work}" if self._at_work else ""
        if self._expired:
            return f"took longer than --frame-timeout {task.timeout_s:g} s and was stopped{blamed}"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            often = "; out of memory, most often: give a smaller --workers" if -code == getattr(signal, "SIGKILL", 9) else ""
            return f"the process working on it was killed or crashed ({name}{often}){blamed}"
        return f"the process working on it was killed or crashed (exit code {code}){blamed}"


class _Limit:
    """Calls ``expire`` after ``seconds``, unless stopped before."""

    def __init__(self, expire: Callable[[], None], seconds: float) -> None:
        self._timer = threading.Timer(seconds, expire)
        self._timer.daemon = True
        self._timer.start()
        self.stop = self._timer.cancel


_lock = threading.Lock()
_processes: dict[tuple[str, int], WorkerProcess] = {}
_started: dict[str, list[WorkerProcess]] = {}
"""Processes of an engine that no thread has taken yet."""
_closed: set[str] = set()


def perform(task: Task) -> Outcome[None, Any]:
    """Does a task in this thread's process, started where it has none. Runs in a thread of the coordinator or of a cluster's worker."""
    while True:
        process = _process_of(task.engine)
        if process is None:
            return Outcome(None, None, "stopped before it began", 0.0)
        answer = process.ask(task)
        if answer is not None:
            result, error, seconds, trace = answer
            return Outcome(None, result, error, seconds, trace)


def start_process(engine: str, modules: Sequence[str]) -> None:
    """Starts a process for an engine before there is a task for it; the next thread that needs one takes it."""
    with _lock:
        if engine not in _closed:
            _started.setdefault(engine, []).append(WorkerProcess(modules))


def stop_processes(engine: str, *, for_good: bool) -> None:
    """Kills the processes of an engine; ``for_good``: it gets no new ones either."""
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
            ready = [process for process in _started.get(engine, []) if process.alive]  # not those that ended for want of work
            _processes[key] = ready[0] if ready else WorkerProcess()
            _started[engine] = ready[1:]
        return _processes[key]
