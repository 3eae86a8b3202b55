"""Opening, making and leaving a database."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlmodel import select

from cacapp.db import slides
from cacapp.db.engine import transactions
from cacapp.db.engine.bulk import insert_rows
from cacapp.db.engine.session import Database, database_url, open_database
from cacapp.db.tables import Patient, Table, now
from cacapp.exceptions import CacappError, StorageError
from tests.db.engine.refusals import refused
from tests.waiting import when_waiting


def test_the_option_goes_before_the_variable_and_that_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACAPP_DB", raising=False)
    assert database_url(None) == "cacapp.db"
    monkeypatch.setenv("CACAPP_DB", "/else/where.db")
    assert database_url(None) == "/else/where.db"
    assert database_url("mine.db") == "mine.db"


def test_a_new_file_and_its_companions_are_the_users_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = open_database(tmp_path / "new.db")
        with database.session() as session:
            session.add(Patient(code="P1"))
            session.flush()
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert "new.db" in modes
    assert set(modes.values()) == {0o600}


def test_names_that_mean_something_in_urls_are_only_names(tmp_path: Path) -> None:
    path = tmp_path / "what? 100% of #1.db"
    open_database(path).dispose()
    assert path.exists()
    open_database(f"sqlite:///{tmp_path / 'plain.db'}").dispose()
    assert (tmp_path / "plain.db").exists()


@pytest.mark.sqlite_only
def test_connections_have_the_pragmas(database: Database) -> None:
    wanted = {"foreign_keys": 1, "journal_mode": "wal", "busy_timeout": 30_000, "synchronous": 1}
    with database.session() as session:
        found = {name: session.execute(text(f"PRAGMA {name}")).scalar_one() for name in wanted}
    assert found == wanted


def test_an_exception_undoes_the_whole_transaction(database: Database) -> None:
    def fail_half_way() -> None:
        with database.session() as session:
            session.add(Patient(code="P1"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with database.session() as session:
        session.add(Patient(code="P2"))
    with database.reading() as session:
        assert session.execute(text("SELECT code FROM patient")).scalars().all() == ["P2"]


def test_a_reader_is_not_held_up_by_a_writer_and_cannot_write(database: Database) -> None:
    with database.session() as writer:
        writer.add(Patient(code="P1"))
        writer.flush()
        with database.reading() as reader:
            assert reader.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0
    with pytest.raises(CacappError), database.reading() as reader:
        reader.execute(text("DELETE FROM patient"))
    with database.reading() as reader:
        assert reader.execute(text("SELECT count(*) FROM patient")).scalar_one() == 1


def test_a_second_writing_session_in_a_thread_is_a_bug_not_a_wait(database: Database) -> None:
    with database.session(), pytest.raises(RuntimeError, match="already open"), database.session():
        pass


def test_rows_stay_usable_after_their_session(database: Database) -> None:
    with database.session() as session:
        slide = slides.register_slide(session, "P1", "S1", 50.0)
    assert slide.barcode == "S1"


def test_printed_text_contains_no_password(database: Database) -> None:
    assert "secret" not in str(database)
    with pytest.raises(CacappError) as caught:
        open_database("nosuchbase://me:secret@host/name")
    assert "secret" not in str(caught.value)
    for url in ("postgresql://me:secret@127.0.0.1:1/name", "postgresql://me@127.0.0.1:1/name?sslpassword=secret&connect_timeout=2"):
        with pytest.raises(CacappError) as caught:
            open_database(url)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "way_out"),
    [("dbname", "nowhere", "make it first: createdb"), ("user", "nobody_known", "does not exist")],
)
def test_a_server_that_refuses_is_one_line(postgres_url: str, name: str, value: str, way_out: str) -> None:
    url = make_url(postgres_url)
    url = url.set(database=value) if name == "dbname" else url.set(username=value)
    assert way_out in refused(url.render_as_string(hide_password=False))


def test_a_user_without_write_permission_is_informed(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    database = open_database(make_url(postgres_url).set(username="reader").render_as_string(hide_password=False))
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0
    with pytest.raises(CacappError, match="ask its owner"), database.session() as session:
        session.add(Patient(code="P1"))
    database.dispose()


@pytest.mark.sqlite_only
def test_a_read_only_database_is_read_and_writing_it_is_one_line(database: Database, tmp_path: Path) -> None:
    read_only = open_database(f"sqlite:///file:{tmp_path / 'cacapp.db'}?mode=ro&uri=true")
    with read_only.reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0
    with pytest.raises(CacappError, match="read-only"), read_only.session() as session:
        session.add(Patient(code="P1"))


@pytest.mark.sqlite_only
def test_a_database_that_stays_locked_is_one_line(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(transactions, "SAY_AFTER_S", 0.1)
    with locked(tmp_path / "cacapp.db"), pytest.raises(CacappError, match="in use by another program"), database.session() as session:
        session.add(Patient(code="P1"))


@pytest.mark.sqlite_only
def test_a_writer_waits_for_another_program_and_reports_it_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert transactions.LOCK_WAIT_S > 2 * 30  # half a minute is nothing unusual
    monkeypatch.setattr(transactions, "SAY_AFTER_S", 0.2)
    with locked(tmp_path / "cacapp.db") as release, when_waiting(release), database.session() as session:
        session.add(Patient(code="P1"))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tmp_path / 'cacapp.db'} is in use by another program; waiting")
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 1


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.sqlite_only
def test_ctrl_c_takes_effect_while_waiting_for_another_program(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "SAY_AFTER_S", 0.2)
    with locked(tmp_path / "cacapp.db"), when_waiting(lambda: signal.raise_signal(signal.SIGINT)), pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with database.session() as session:
            session.add(Patient(code="P1"))


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Another program writes to the file, until the body ends or calls what it is given."""
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    yield blocker.rollback
    blocker.close()


def test_two_writers_of_one_row_do_not_wait_for_each_other_for_ever(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "LOCK_WAIT_S", 1)
    first, second = open_database(postgres_url), open_database(postgres_url)
    with first.session() as session:
        session.add(Patient(code="P1"))
    with first.session() as session:
        session.execute(text("UPDATE patient SET code = 'P2'"))
        with pytest.raises(CacappError, match="in use by another program"), second.session() as other:
            other.execute(text("UPDATE patient SET code = 'P3'"))
    with second.reading() as session:
        assert session.execute(text("SELECT code FROM patient")).scalars().all() == ["P2"]


@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
def test_two_programs_that_register_slides_of_one_new_patient_share_the_patient(database: Database, record_url: str) -> None:
    other = open_database(record_url)
    found: list[int] = []

    def register() -> None:
        with other.session() as session:
            found.append(slides.register_slide(session, "P1", "S2").patient_id)

    with database.session() as session:
        first = slides.register_slide(session, "P1", "S1").patient_id
        thread = threading.Thread(target=register)
        thread.start()
        time.sleep(0.3)  # it waits
        assert found == []
    thread.join(30)
    other.dispose()
    assert found == [first]


def test_one_slide_registered_twice_at_one_moment_is_one_line(postgres_url: str) -> None:
    database, other = open_database(postgres_url), open_database(postgres_url)
    problems: list[str] = []

    def register() -> None:
        try:
            with other.session() as session:
                slides.register_slide(session, "P2", "S1")
        except CacappError as error:
            problems.append(str(error))

    with database.session() as session:
        slides.register_slide(session, "P1", "S1")
        thread = threading.Thread(target=register)
        thread.start()
        time.sleep(0.3)
    thread.join(30)
    (problem,) = problems
    assert "slide S1 belongs to patient P1, not P2" in problem
    with database.reading() as session:
        assert session.execute(text("SELECT code FROM patient")).scalars().all() == ["P1"]
    database.dispose()
    other.dispose()


def test_a_reading_session_sees_one_moment(database: Database, record_url: str) -> None:
    other = open_database(record_url)
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0
        with other.session() as writer:
            writer.add(Patient(code="P1"))
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0
    other.dispose()


def test_a_connection_that_the_server_closed_is_made_again(postgres_url: str, postgres: Any) -> None:
    database = open_database(postgres_url)
    with database.session() as session:
        session.add(Patient(code="P1"))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    with database.session() as session:
        session.add(Patient(code="P2"))
    database.dispose()


FULL = """
import resource, sys
from cacapp.db.engine.session import open_database
from cacapp.db.tables import Patient
from cacapp.exceptions import CacappError
database = open_database(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    with database.session() as session:
        session.add_all(Patient(code=f"P{i}" + "x" * 1000) for i in range(3000))
except CacappError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_nothing_half_written_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "small.db"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert "nothing half-written" in done.stdout
    assert done.stdout.count("\n") == 1
    with open_database(path).reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_kill_while_the_database_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    make = "import alembic.command, cacapp.db.engine.session as s, sys; print(flush=True); s.open_database(sys.argv[1])"
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        child = subprocess.Popen([sys.executable, "-c", make, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.03 * attempt)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with open_database(path).reading() as session:
            assert session.execute(text("SELECT count(*) FROM patient_result")).scalar_one() == 0


def test_processes_that_make_the_same_database_at_once_all_get_it(database_kind: str, tmp_path: Path, postgres: Any) -> None:
    use = "import sys; from cacapp.db.engine.session import open_database as o; s = o(sys.argv[1]).session(); s.__enter__()"
    url = str(tmp_path / "shared.db") if database_kind == "sqlite" else postgres.url(postgres.create())
    children = [subprocess.Popen([sys.executable, "-c", use, url], stderr=subprocess.PIPE) for _ in range(2)]
    said = [child.communicate()[1].decode().splitlines() for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert [line for lines in said for line in lines if "waiting for it" not in line] == []  # where the machine is busy


def test_opening_an_existing_database_does_not_import_alembic(empty_record: Path) -> None:
    code = "import sys; from cacapp.db.engine.session import open_database as o; o(sys.argv[1]); sys.exit('alembic.command' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(empty_record)], check=True)


def test_foreign_keys_hold(database: Database, fill_slide: Callable[..., object]) -> None:
    fill_slide(database)
    with pytest.raises(Exception, match=r"(?i)foreign key"), database.session() as session:
        session.execute(text("DELETE FROM frame"))


def interrupted(database: Database, *, fails: bool) -> None:
    with database.session() as session:
        signal.raise_signal(signal.SIGINT)
        session.add(Patient(code="P1"))
        if fails:
            raise ValueError


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("fails", "kept"), [(False, ["P1"]), (True, [])])
def test_ctrl_c_in_a_transaction_takes_effect_at_its_end(database: Database, fails: bool, kept: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(database, fails=fails)
    with database.reading() as session:
        assert [p.code for p in session.exec(select(Patient))] == kept
    with pytest.raises(KeyboardInterrupt):  # and at once again outside of one
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("copied", [False, True])
def test_a_server_that_ends_the_connection_is_one_line_with_the_way_out(postgres_url: str, copied: bool) -> None:
    """In a statement and in a COPY; the next transaction has a connection again, and nothing of the first is there."""
    database = open_database(postgres_url)
    patients = Table.metadata.tables["patient"]

    def write() -> None:
        with database.session() as session:
            session.add(Patient(code="P1"))
            session.flush()
            (pid,) = session.connection().exec_driver_sql("SELECT pg_backend_pid()").one()
            with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
            time.sleep(0.2)
            if copied:
                insert_rows(session.connection(), patients, ["code", "created_at"], [(f"P{n}", now()) for n in range(2, 9)])
            else:
                session.execute(text("SELECT 1"))

    with pytest.raises(StorageError, match=r"ended the connection .* nothing half-written was kept"):
        write()
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 0
    database.dispose()
