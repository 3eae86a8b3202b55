"""Who works on a run: one process at a time, the owner, which shows that it lives by counting the run's ``beats`` up.

No clock is compared with another: whoever waits looks whether the beats grow, by a clock of its own that cannot be set back. And no
lease is trusted alone: each write of results first asserts that the run is still the writer's, in the same transaction, so that a
process which slept through the end of its lease stores nothing.
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
from cacapp.db.engine.transactions import uninterrupted
from cacapp.db.runs.ledger import get_run
from cacapp.db.tables import Run
from cacapp.exceptions import CacappError


class TakenOverError(CacappError):
    """Another process has the run now: this one did not beat for too long. Nothing it does from here on is stored."""


BEAT_S = 2.0
LAPSE_S = 20.0
"""A run whose beats have not grown for this long is free."""


def new_owner() -> str:
    """A name for this process in one piece of work: ``host/machine/pid/start/token``."""
    pid = os.getpid()
    return "/".join((socket.gethostname().replace("/", "-"), _machine(), str(pid), _start(pid), uuid.uuid4().hex[:12]))


def describe_owner(owner: str) -> str:
    """ "process 4711 on lab-pc" """
    host, _, pid, *_ = owner.split("/")
    return f"process {pid} on {host}"


def is_dead(owner: str) -> bool:
    """Whether the owner is known to have ended: a process of this very machine that is not there any more. False where in doubt."""
    _, machine, pid, start, _ = owner.split("/")
    return machine == _machine() and bool(start) and _start(int(pid)) != start


@dataclass
class Watch:
    """Looks at a run from time to time: has its owner stopped?"""

    seen: tuple[str | None, int] | None = None
    since: float = 0.0

    def lapsed(self, run: Run) -> bool:
        """Whether the owner is dead, or its beats have not grown for LAPSE_S of this process' own clock."""
        if run.owner is None or is_dead(run.owner):
            return True
        now = time.monotonic()
        if self.seen != (run.owner, run.beats):
            self.seen, self.since = (run.owner, run.beats), now
        return now - self.since > LAPSE_S


def still_owned(session: Session, run_id: int, owner: str) -> bool:
    """Counts the beats up, and holds the run's row until the transaction ends; False: the run is another's, or was cancelled."""
    mine = update(Run).where(col(Run.id) == run_id, col(Run.owner) == owner, col(Run.status) == "running")
    found: CursorResult[Any] = session.connection().execute(mine.values(beats=col(Run.beats) + 1))
    return found.rowcount == 1


def assert_owned(session: Session, run_id: int, owner: str) -> None:
    """First in each transaction that writes results.

    Raises:
        CacappError: the run was cancelled.
        TakenOverError: another process has it.
    """
    if still_owned(session, run_id, owner):
        return
    run = get_run(session, run_id)
    if run.status == "cancelled":
        raise CacappError(f"run {run_id} was cancelled; frames that were finished are kept, nothing more is done")
    by = f" by {describe_owner(run.owner)}" if run.owner else ""
    raise TakenOverError(f"run {run_id} was taken over{by} while this process did not answer; it goes on there, nothing is stored twice")


class Lease:
    """Keeps a run for this process, by beats from a thread of its own, and gives it back at the end. A context.

    It is entered before the run is claimed in its ``owner``'s name: Ctrl-C may come between the claim and all that follows.
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

    def of(self, run_id: int) -> None:
        """The run that is the owner's from here on; said in the transaction that claims it."""
        self._run_id = run_id

    def keep(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._run_id is None:
            return
        with uninterrupted():
            self._over.set()
            if self._thread.is_alive():
                self._thread.join(timeout=2 * BEAT_S)
            # a database that cannot be written cannot be told; whoever comes next finds this process ended
            with suppress(CacappError), self._db.session() as session:
                mine = update(Run).where(col(Run.id) == self._run_id, col(Run.owner) == self.owner)
                session.connection().execute(mine.values(owner=None))

    def lost(self) -> bool:
        """Whether the run is another's by now, or was cancelled."""
        return self._lost.is_set()

    def _beat(self) -> None:
        assert self._run_id is not None, "it keeps a run"
        while not self._over.wait(BEAT_S):
            with suppress(CacappError), self._db.session() as session:  # the next beat comes, where it is locked or full for the moment
                if not still_owned(session, self._run_id, self.owner):
                    self._lost.set()
                    return


@lru_cache(maxsize=1)
def _machine() -> str:
    """Of this boot of this machine, and of this container's processes: pids mean the same only within it. "" where unknown."""
    parts = []
    with suppress(OSError):
        parts = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]  # noqa: PTH115
    return sha256("".join(parts).encode()).hexdigest()[:12] if parts else ""


def _start(pid: int) -> str:
    """When a process started, in clock ticks since boot; "" where there is none, it is a zombie, or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
