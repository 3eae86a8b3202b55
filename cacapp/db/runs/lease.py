"""Ownership of a run: one process at a time, the owner, which increases the run's ``beats`` as long as it is alive.

Clocks of different machines are not compared: a waiting process checks with its own monotonic clock whether the beats increase. Each
write of results first asserts the ownership in the same transaction, so that a process that was suspended beyond the end of its lease
stores nothing.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import CursorResult, update
from sqlmodel import Session, col

from cacapp.db.engine.session import Database
from cacapp.db.engine.transactions import delay_signals
from cacapp.db.runs.ledger import get_run
from cacapp.db.tables import Run
from cacapp.exceptions import CacappError


class TakenOverError(CacappError):
    """Error: another process owns the run now, since this one did not increase the beats in time. No later result of it is stored."""


BEAT_S = 2.0
LAPSE_S = 20.0
"""Time without a beat after which a run is free."""


def new_owner() -> str:
    """Return a name for this process in one run: ``host/machine/pid/start/token``."""
    pid = os.getpid()
    return "/".join((socket.gethostname().replace("/", "-"), _machine(), str(pid), _start(pid), uuid.uuid4().hex[:12]))


def describe_owner(owner: str) -> str:
    """Return the owner in words: "process 4711 on lab-pc"."""
    host, _, pid, *_ = owner.split("/")
    return f"process {pid} on {host}"


def is_dead(owner: str) -> bool:
    """Return whether the owner has certainly ended: a process of this machine that does not exist any more. False if unknown."""
    _, machine, pid, start, _ = owner.split("/")
    return machine == _machine() and bool(start) and _start(int(pid)) != start


@dataclass
class Watch:
    """Observer of a run's beats that detects the end of its owner."""

    seen: tuple[str | None, int] | None = None
    since: float = 0.0

    def lapsed(self, run: Run) -> bool:
        """Return whether the owner has ended, or its beats have not increased for LAPSE_S of this process' clock."""
        if run.owner is None or is_dead(run.owner):
            return True
        now = time.monotonic()
        if self.seen != (run.owner, run.beats):
            self.seen, self.since = (run.owner, run.beats), now
        return now - self.since > LAPSE_S


def renew_ownership(session: Session, run_id: int, owner: str) -> bool:
    """Increase the beats and lock the run's row until the transaction ends; return False if it has another owner or was cancelled."""
    mine = update(Run).where(col(Run.id) == run_id, col(Run.owner) == owner, col(Run.status) == "running")
    found: CursorResult[Any] = session.connection().execute(mine.values(beats=col(Run.beats) + 1))
    return found.rowcount == 1


def assert_owned(session: Session, run_id: int, owner: str) -> None:
    """Check that the run is still the owner's; the first statement of each transaction that writes results.

    Raises:
        CacappError: the run was cancelled.
        TakenOverError: another process owns it.
    """
    if renew_ownership(session, run_id, owner):
        return
    run = get_run(session, run_id)
    if run.status == "cancelled":
        raise CacappError(f"run {run_id} was cancelled; frames that were finished are kept, nothing more is done")
    by = f" by {describe_owner(run.owner)}" if run.owner else ""
    raise TakenOverError(f"run {run_id} was taken over{by} while this process did not answer; it goes on there, nothing is stored twice")


class Lease:
    """Context manager that owns a run for this process, with beats from a separate thread, and releases it at the end.

    It is entered before the run is acquired for its ``owner``, since Ctrl-C may come right after the acquisition.
    """

    def __init__(self, db: Database) -> None:
        self.owner = new_owner()
        self._db = db
        self._run_id: int | None = None
        self._over = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="cacapp-lease", daemon=True)

    def __enter__(self) -> Self:
        return self

    def set_run(self, run_id: int) -> None:
        """Set the run; called in the transaction that sets its owner."""
        self._run_id = run_id

    def start(self) -> None:
        """Start the thread that increases the beats."""
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._run_id is None:
            return
        with delay_signals():
            self._over.set()
            if self._thread.is_alive():
                self._thread.join(timeout=2 * BEAT_S)
            # the release cannot be written to such a database; the next process detects the end of this one
            with suppress(CacappError), self._db.session() as session:
                mine = update(Run).where(col(Run.id) == self._run_id, col(Run.owner) == self.owner)
                session.connection().execute(mine.values(owner=None))

    def is_lost(self) -> bool:
        """Return whether another process owns the run now, or it was cancelled."""
        return self._lost.is_set()

    def _beat(self) -> None:
        assert self._run_id is not None, "it keeps a run"
        while not self._over.wait(BEAT_S):
            with suppress(CacappError), self._db.session() as session:  # a lock or a full disk may pass before the next beat
                if not renew_ownership(session, self._run_id, self.owner):
                    self._lost.set()
                    return


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return a name of this boot of this machine and of this container, within which pids are valid; "" if unknown."""
    parts = []
    with suppress(OSError):
        parts = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]  # noqa: PTH115
    return sha256("".join(parts).encode()).hexdigest()[:12] if parts else ""


def _start(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; "" if it does not exist, is a zombie, or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
