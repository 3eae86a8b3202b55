"""A run has one owner: a second process waits for it, takes over from a dead one, and no process depends on a clock."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Self

import pytest
from sqlalchemy import text

from cacapp.db.engine.session import Database
from cacapp.db.runs import lease
from cacapp.db.runs.ledger import get_run
from cacapp.db.tables import Run
from cacapp.engine import Engine
from cacapp.exceptions import CacappError
from cacapp.host import Host
from cacapp.runs.progress import Silent
from cacapp.steps.segment import segment
from tests.e2e.records import half_done
from tests.runs.interruptions import PLAN, WHO, Cacapp, ask, interrupted, ledger, tell
from tests.selection import KINDS

MOMENTS = 60


@pytest.fixture
def begun(cacapp: Cacapp, frames: Path, record_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that another process, on another machine, owns; leases lapse after 3 s."""
    interrupted(cacapp, frames, record_url)
    monkeypatch.setattr(lease, "LAPSE_S", 3.0)
    monkeypatch.setattr(lease, "BEAT_S", 0.3)
    tell(record_url, "UPDATE run SET owner = 'other/abc/7/1/token', beats = 5")
    return record_url


@pytest.mark.slow
def test_a_run_whose_owner_does_not_renew_its_lease_is_taken_over(cacapp: Cacapp, begun: str) -> None:
    start = time.monotonic()
    ended = cacapp("runs", "resume")
    assert ended.code == 0
    assert time.monotonic() - start > 3
    assert "process 7 on other is working on it (run 1); waiting" in ended.err
    assert ask(begun, "SELECT count(*) FROM run_frame WHERE status = 'done'") == 4


@pytest.mark.slow
def test_a_run_whose_owner_renews_its_lease_is_waited_for_whatever_the_clock_says(
    cacapp: Cacapp, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wall clocks go back by days between any two looks."""
    moment = datetime(2030, 1, 1)
    steps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: (moment - timedelta(days=next(steps))).timestamp())
    over = threading.Event()

    def other() -> None:
        for beat in range(6, 26):
            tell(begun, f"UPDATE run SET beats = {beat} WHERE owner LIKE 'other%'")
            time.sleep(0.3)
        tell(begun, "UPDATE run SET owner = NULL WHERE owner LIKE 'other%'")
        over.set()

    thread = threading.Thread(target=other)
    thread.start()
    ended = cacapp("runs", "resume")
    assert over.is_set()
    thread.join()
    assert ended.code == 0
    assert ask(begun, "SELECT count(*) FROM run_frame WHERE status = 'done'") == 4


class Sleeps(Silent):
    """After the first frame, another process has the run; when this one notices, that other is ``then`` told to end."""

    def __init__(self, database: Database, then: Callable[[Run], None]) -> None:
        self.database, self.then, self.warned, self.advanced, self.stored = database, then, list[str](), 0, list[int]()

    def advance(self, note: str = "", by: int = 1) -> None:
        self.advanced += by
        if note.startswith("S1 frame") and not self.warned:
            with self.database.session() as session:
                session.get_one(Run, 1).owner = "other/abc/7/1/token"

    def warn(self, line: str) -> None:
        self.warned.append(line)
        with self.database.session() as session:
            run = get_run(session, 1)
            self.stored.append(session.execute(text("SELECT count(*) FROM run_frame WHERE status = 'done'")).scalar_one())
            assert run.owner == "other/abc/7/1/token"
            self.then(run)


def test_an_owner_whose_lease_expired_stores_nothing_and_continues_once_it_owns_the_run_again(
    database: Database, small_slide: Path, cacapp: Cacapp, record_url: str
) -> None:
    assert cacapp("ingest", small_slide, *WHO).code == 0
    told = Sleeps(database, lambda run: setattr(run, "owner", None))
    (report,) = segment(database, Host.discover(), PLAN, engine=Engine(), progress=told)
    assert len(told.warned) == 1
    assert "segment S1: run 1 was taken over by process 7 on other while this process did not answer" in told.warned[0]
    assert told.stored == [1]  # the second frame was done meanwhile, and not stored
    assert (report.run_id, report.done, report.before, told.advanced) == (1, 2, 0, 2)
    assert ledger(cacapp, 1) == {"frame00": ("done", 1), "frame01": ("done", 1)}
    assert half_done(record_url) == []


def test_an_owner_whose_run_was_cancelled_stops(database: Database, small_slide: Path, cacapp: Cacapp) -> None:
    assert cacapp("ingest", small_slide, *WHO).code == 0

    class Cancels(Silent):
        def advance(self, note: str = "", by: int = 1) -> None:
            if note.startswith("S1 frame"):
                with database.session() as session:
                    run = get_run(session, 1)
                    run.status, run.owner = "cancelled", None

    with pytest.raises(CacappError, match="run 1 was cancelled"):
        segment(database, Host.discover(), PLAN, engine=Engine(), progress=Cancels())


class Calls:
    """Counts the calls of cacapp's functions, and presses Ctrl-C at one of them. A context."""

    def __init__(self, press_at: int | None = None) -> None:
        self.press_at, self.count = press_at, 0
        self.claimed_at = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith(("cacapp.steps", "cacapp.db", "cacapp.engine")):
            self.count += 1
            if frame.f_code.co_name == "_take":
                self.claimed_at = self.count
            if self.count == self.press_at:
                signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("database_kind", KINDS)  # each driver is interrupted in its own way
def test_ctrl_c_at_any_moment_leaves_no_run_with_an_owner(database: Database, tiny_slide: Path, cacapp: Cacapp, record_url: str) -> None:
    """Between the claim of a run and its first frame too: else another machine waits until the lease has lapsed."""
    assert cacapp("ingest", tiny_slide, *WHO).code == 0
    host = Host.discover()
    with Calls() as calls:
        segment(database, host, PLAN)
    here_and_there = range(1, calls.count, max(calls.count // MOMENTS, 1))
    moments = {*here_and_there, *range(calls.claimed_at, calls.claimed_at + MOMENTS), calls.count}
    stopped = 0
    for moment in sorted(moments):
        try:
            with Calls(moment):
                segment(database, host, PLAN, force=True)
        except KeyboardInterrupt:
            stopped += 1
        assert ask(record_url, "SELECT count(*) FROM run WHERE owner IS NOT NULL") == 0, moment
    assert stopped > len(moments) // 2
    assert ask(record_url, "SELECT count(*) FROM run WHERE status = 'running'") > 1
    assert [line for line in half_done(record_url) if not line.startswith("run begun twice")] == []  # by --force


def test_a_process_of_this_machine_is_known_to_be_dead_at_once() -> None:
    assert not lease.is_dead(lease.new_owner())
    host, machine, _, _, token = lease.new_owner().split("/")
    assert lease.is_dead("/".join((host, machine, "4194304", "1", token)))
    assert lease.is_dead("/".join((host, machine, str(os.getpid()), "1", token)))  # another process' number by now
    assert not lease.is_dead(f"{host}/other-machine/4194304/1/{token}")
