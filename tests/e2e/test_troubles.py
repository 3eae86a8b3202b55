"""What happens to a run of a night: two of them at once, a full disk, a database that may not be written or is held by another."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from cacapp.cli.resume import give_up
from cacapp.db.session import open_database
from tests.e2e.programs import CHECKOUT, FRAMES, PROGRAM, command, run, start
from tests.e2e.records import content, half_done, opened
from tests.postgres import Postgres


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, twelve_frames: Path) -> dict[str, list[str]]:
    url = str(tmp_path_factory.mktemp("undisturbed") / "whole.db")
    assert run(url, *command(twelve_frames)).returncode == 0
    return content(url)


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    engine = opened(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return rows


def test_two_coordinators_do_no_frame_twice(fresh: Callable[[], str], twelve_frames: Path, undisturbed: dict[str, list[str]]) -> None:
    url = fresh()
    both = [start(url, *command(twelve_frames)) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert content(url) == undisturbed
    assert half_done(url) == []
    assert ask(url, "SELECT count(*), max(attempts) FROM run_frame WHERE status = 'done'") == [(2 * FRAMES, 1)]
    assert ask(url, "SELECT status, count(*) FROM request GROUP BY status") == [("done", 1)]


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
    url, held_s = str(tmp_path / "record.db"), float(os.environ.get("CACAPP_LOCK_S", "8"))
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
        assert "read-only" in err or "terminating connection" in err
        assert "Traceback" not in err
        set_read_only("off")
        assert half_done(url) == []
        resumed = run(url, "runs", "resume", "--workers", "2")
        assert resumed.returncode == 0, resumed.stderr
        assert content(url) == undisturbed
    finally:
        postgres.drop(name)


def test_sigterm_stops_as_ctrl_c_does(fresh: Callable[[], str], twelve_frames: Path, undisturbed: dict[str, list[str]]) -> None:
    """What a batch system sends before it kills."""
    url = fresh()
    process = start(url, *command(twelve_frames))
    while process.poll() is None and not ask(url, "SELECT id FROM run"):
        time.sleep(0.05)
    since = time.monotonic()
    process.terminate()
    assert process.wait(timeout=60) == 130
    assert time.monotonic() - since < 15
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
    assert give_up(record, 1) == "run 1 is cancelled"
    record.dispose()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cancelled" in err
    assert ask(url, "SELECT count(*) FROM run WHERE status IN ('running', 'succeeded') AND step = 'segment'") == [(0,)]
    assert half_done(url) == []
