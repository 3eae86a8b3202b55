"""Long runs: two of them at once, a full disk, a database that is read-only or locked by another process."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from cacapp.db.engine.session import open_database
from cacapp.runs.unfinished import cancel_run
from tests.e2e.programs import CHECKOUT, FRAMES, PROGRAM, command, run, start
from tests.e2e.records import content, half_done, opened
from tests.postgres import Postgres


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    engine = opened(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return rows


def test_two_coordinators_do_no_frame_twice(fresh: Callable[[], str], twelve_frames: Path, undisturbed: dict[str, list[str]]) -> None:
    url = fresh()
    both = [
        subprocess.Popen(
            [*PROGRAM, *command(twelve_frames)], cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert content(url) == undisturbed
    assert half_done(url) == []
    assert ask(url, "SELECT count(*), max(attempts) FROM run_frame WHERE status = 'done'") == [(2 * FRAMES, 1)]
    assert ask(url, "SELECT status, count(*) FROM request GROUP BY status") == [("done", 1)]


FAKE_CLOCKS = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.mark.skipif(not FAKE_CLOCKS, reason="no libfaketime here: apt-get install faketime")
def test_a_clock_that_goes_back_in_the_middle_of_a_run_changes_nothing(
    fresh: Callable[[], str], twelve_frames: Path, undisturbed: dict[str, list[str]], tmp_path: Path
) -> None:
    """The coordinator's and its workers' wall clock is set back by days, then the run is killed and gone on with in a yet earlier year."""
    url, clock = fresh(), tmp_path / "clock"
    clock.write_text("+10d")
    fake = {"LD_PRELOAD": str(FAKE_CLOCKS[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    fake |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}  # as when a wall clock is set
    environment = os.environ | fake | {"CACAPP_DB": url}
    process = subprocess.Popen([*PROGRAM, *command(twelve_frames)], cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL)
    for count, moment in ((2, "-3d"), (5, "-2y")):
        while process.poll() is None and ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'")[0] < (count,):
            time.sleep(0.02)
        clock.write_text(moment)
    while process.poll() is None and ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'")[0] < (7,):
        time.sleep(0.02)
    process.kill()
    process.wait()
    clock.write_text("-5y")
    words = [*PROGRAM, "runs", "resume", "--workers", "2"]
    resumed = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert content(url) == undisturbed
    assert half_done(url) == []
    started = [str(row[0])[:4] for row in ask(url, "SELECT started_at FROM run ORDER BY id")]
    assert started == sorted(started, reverse=True)
    assert started[0] > started[-1]  # the clock did go back, under the run that came later
    again = subprocess.run([*PROGRAM, *command(twelve_frames)], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert again.returncode == 0
    assert "count S1: already done" in again.stdout


def test_a_coordinator_that_got_no_time_for_longer_than_its_lease_waits_for_the_one_that_took_over(
    fresh: Callable[[], str], twelve_frames: Path, undisturbed: dict[str, list[str]]
) -> None:
    """Stopped by a signal, as a starved machine or a closed laptop does; it was in the middle of frames."""
    url = fresh()
    words = [*PROGRAM, *command(twelve_frames)]
    starved = subprocess.Popen(words, cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, stderr=subprocess.PIPE, text=True)
    while starved.poll() is None and ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'")[0] < (2,):
        time.sleep(0.02)
    while True:  # in the middle of a run, not inside a transaction, which would hold the other up
        starved.send_signal(signal.SIGSTOP)
        if is_free(url) and ask(url, "SELECT count(*) FROM run WHERE status = 'running'") == [(1,)]:
            break
        starved.send_signal(signal.SIGCONT)
        assert starved.poll() is None, "ended before it could be stopped in the middle of a run"
        time.sleep(0.05)
    other = run(url, *command(twelve_frames))
    assert other.returncode == 0, other.stderr
    assert "is working on it (run" in other.stderr
    starved.send_signal(signal.SIGCONT)
    _, err = starved.communicate(timeout=300)
    assert starved.returncode == 0, err
    assert "was taken over" in err
    assert "nothing is stored twice" in " ".join(err.split())
    assert content(url) == undisturbed
    assert half_done(url) == []
    assert ask(url, "SELECT count(*), max(attempts) FROM run_frame WHERE status = 'done'") == [(2 * FRAMES, 1)]


def is_free(url: str) -> bool:
    """Whether nobody is in the middle of writing."""
    engine = opened(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.execute(text("PRAGMA busy_timeout = 200"))
            else:
                connection.execute(text("SET lock_timeout = 200"))
            connection.execute(text("UPDATE run SET seed = seed"))
        return True
    except OperationalError:
        return False
    finally:
        engine.dispose()


def test_two_coordinators_on_slides_of_one_patient_give_one_result(fresh: Callable[[], str], twelve_frames: Path, tmp_path: Path) -> None:
    url = fresh()
    both = []
    for name, chosen in (("S1", range(3)), ("S2", range(3, 6))):
        folder = tmp_path / name
        folder.mkdir()
        for n in chosen:
            shutil.copy(twelve_frames / f"frame{n:02}.ome.tif", folder)
        words = ["S1" if word == "S1" else word for word in command(folder)]
        both.append(start(url, *[name if word == "S1" else word for word in words]))
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    newest = "(SELECT max(run_id) FROM patient_result)"
    assert ask(url, f"SELECT frames, frames_failed, blood_volume_ul FROM patient_result WHERE run_id = {newest}") == [(6, 0, 200.0)]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from cacapp.cli.app import run_command
sys.exit(run_command(sys.argv[2:]))
"""


def test_a_full_disk_stops_the_run_and_nothing_is_lost(
    empty_record: Path, tmp_path: Path, twelve_frames: Path, undisturbed: dict[str, list[str]]
) -> None:
    """No file may grow beyond a limit that the record reaches in the middle of the run."""
    url = str(tmp_path / "record.db")
    shutil.copy(empty_record, url)
    limit = Path(url).stat().st_size + 120_000
    words = [sys.executable, "-c", LIMITED, str(limit), *command(twelve_frames)]
    full = subprocess.run(words, cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, capture_output=True, text=True)
    assert full.returncode == 1
    assert "nothing half-written was kept" in full.stderr
    assert "Traceback" not in full.stderr
    done = ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'")
    assert (0,) < done[0] < (2 * FRAMES,)
    assert half_done(url) == []
    resumed = run(url, "runs", "resume", "--workers", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert content(url) == undisturbed


def test_a_database_held_by_another_program_is_waited_for(
    empty_record: Path, tmp_path: Path, twelve_frames: Path, undisturbed: dict[str, list[str]]
) -> None:
    url, held_s = str(tmp_path / "record.db"), float(os.environ.get("CACAPP_LOCK_S", "4"))
    shutil.copy(empty_record, url)
    process = start(url, *command(twelve_frames))
    while process.poll() is None and ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'")[0] < (3,):
        time.sleep(0.05)
    holder = sqlite3.connect(url, isolation_level=None, timeout=60)
    holder.execute("BEGIN IMMEDIATE")
    before = ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'")
    time.sleep(held_s)
    assert ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'") == before
    assert process.poll() is None
    holder.execute("ROLLBACK")
    holder.close()
    assert process.wait(timeout=300) == 0
    assert content(url) == undisturbed


def test_a_database_that_becomes_read_only_stops_the_run_and_nothing_is_lost(
    postgres: Postgres, twelve_frames: Path, undisturbed: dict[str, list[str]]
) -> None:
    """As a PostgreSQL server that failed over does."""
    name = postgres.create(template="empty")
    url = postgres.url(name)

    def set_read_only(value: str) -> None:
        engine = opened(postgres.url("postgres"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"))
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        engine.dispose()

    try:
        words = [*PROGRAM, *command(twelve_frames)]
        process = subprocess.Popen(words, cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and ask(url, "SELECT count(*) FROM run_frame WHERE status = 'done'")[0] < (2,):
            time.sleep(0.05)
        set_read_only("on")
        _, err = process.communicate(timeout=300)
        assert process.returncode == 1
        assert "read-only" in err or "ended the connection" in err
        assert "Traceback" not in err
        set_read_only("off")
        assert half_done(url) == []
        resumed = run(url, "runs", "resume", "--workers", "2")
        assert resumed.returncode == 0, resumed.stderr
        assert content(url) == undisturbed
    finally:
        postgres.drop(name)


def test_sigterm_stops_as_ctrl_c_does(fresh: Callable[[], str], twelve_frames: Path, undisturbed: dict[str, list[str]]) -> None:
    """What a batch system sends before it kills; started in the background of a script, where SIGINT is ignored."""
    url = fresh()
    process = start(url, *command(twelve_frames), background=True)
    while process.poll() is None and not ask(url, "SELECT id FROM run"):
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=120) == 130
    assert ask(url, "SELECT owner FROM run WHERE status = 'running'") in ([(None,)], [])
    assert run(url, "runs", "resume", "--workers", "2").returncode == 0
    assert content(url) == undisturbed


def test_cancelling_a_run_stops_the_process_that_works_on_it(fresh: Callable[[], str], twelve_frames: Path) -> None:
    url = fresh()
    words = [*PROGRAM, *command(twelve_frames)]
    process = subprocess.Popen(words, cwd=CHECKOUT, env=os.environ | {"CACAPP_DB": url}, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not ask(url, "SELECT id FROM run"):
        time.sleep(0.05)
    record = open_database(url)  # here, not in a process of its own: the run's frames are done before that one has started
    assert cancel_run(record, 1) == "run 1 is cancelled"
    record.dispose()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cancelled" in err
    assert ask(url, "SELECT count(*) FROM run WHERE status IN ('running', 'succeeded') AND step = 'segment'") == [(0,)]
    assert half_done(url) == []
