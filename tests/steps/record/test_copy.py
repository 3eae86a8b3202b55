"""A record copied between SQLite and PostgreSQL is the same record, or there is no copy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cacapp.db.engine.session import Database, open_database, status
from cacapp.db.engine.transfer import row_counts
from cacapp.db.tables import Patient
from cacapp.exceptions import CacappError
from cacapp.runs.progress import Silent
from cacapp.steps.record.copy import CopyReport, copy
from tests.postgres import Postgres

Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def record(counted: Callable[..., Any], ask: Ask, record_url: str) -> Iterator[Database]:
    """The counted small slide, with pseudo-labels, a control, a model, and what only some rows have: nulls, zones, quotes, big numbers."""
    assert counted("pseudo-label", "--prompters", "watershed", "--quiet").code == 0
    assert counted("control", "add", "S1", "--note", 'tab\t, "quotes", \\backslash\\, line\nbreak, µ, \U0001f52c').code == 0
    ask(
        "INSERT INTO model (id, name, kind, path, sha256, trained_from_run_id, metrics, created_at)"
        " VALUES (7, 'm', 'maskrcnn', '/w', 'ff', 3, '{\"a\":  [1.50, null]}', '2026-01-02 03:04:05.000006')"
    )
    ask("UPDATE slide SET blood_volume_ul = 33.333333333333336")
    opened = open_database(record_url, create=False)
    yield opened
    opened.dispose()


@pytest.fixture
def empty_server(postgres: Postgres) -> Iterator[str]:
    """A database on PostgreSQL without a table."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


def rows(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return row_counts(session.connection())


def test_a_record_is_the_same_on_the_other_database_and_back(record: Database, empty_server: str, tmp_path: Path) -> None:
    there = copy(record, empty_server)
    assert there.rows > 200
    assert {name for name, table in there.tables.items() if table.rows} >= {"cell", "signal", "pseudo_label", "model"}
    assert rows(open_database(empty_server, create=False)) == rows(record) == {name: t.rows for name, t in there.tables.items()}
    back = copy(open_database(empty_server), tmp_path / "back.db")
    assert back.tables == there.tables
    assert copy(record, tmp_path / "same.db").tables == there.tables
    assert (tmp_path / "same.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_copy_differs_where_one_value_does(record: Database, ask: Ask, tmp_path: Path) -> None:
    before = copy(record, tmp_path / "a.db").tables
    ask("UPDATE signal SET x_px = x_px + 1 WHERE cell_id = (SELECT min(cell_id) FROM signal) AND number = 0 AND channel = 1")
    after = copy(record, tmp_path / "b.db").tables
    assert [name for name in before if before[name] != after[name]] == ["signal"]


def test_a_copy_is_worked_on_as_the_original_is(
    record: Database, empty_server: str, counted: Callable[..., Any], small_slide: Path
) -> None:
    copy(record, empty_server)
    ended = counted("count", "--force", "--quiet", "--db", empty_server)
    assert ended.code == 0, ended.err
    assert [run["id"] for run in counted("runs", "list", "--json", "--db", empty_server).json] == [4, 3, 2, 1]
    with open_database(empty_server).session() as session:
        session.add(Patient(code="P2"))
        session.flush()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_target_with_rows_is_refused_and_left_alone(record: Database, postgres_url: str, tmp_path: Path, kind: str) -> None:
    target = str(tmp_path / "other.db") if kind == "sqlite" else postgres_url
    if kind == "postgresql" and record.engine.dialect.name == kind:
        pytest.skip("postgres_url is the record itself here")
    with open_database(target).session() as session:
        session.add(Patient(code="mine"))
    with pytest.raises(CacappError, match=r"not empty \(table patient"):
        copy(record, target)
    with open_database(target).reading() as session:
        assert session.execute(text("SELECT code FROM patient")).scalars().all() == ["mine"]


def test_the_record_itself_is_no_target(record: Database, record_url: str) -> None:
    with pytest.raises(CacappError, match="not empty"):
        copy(record, record_url)


def test_an_empty_record_is_a_target(record: Database, tmp_path: Path) -> None:
    open_database(tmp_path / "new.db").dispose()
    assert copy(record, tmp_path / "new.db").rows > 200


@pytest.mark.sqlite_only
def test_values_that_postgresql_cannot_store_are_named_and_nothing_is_written(record: Database, ask: Ask, empty_server: str) -> None:
    ask("UPDATE slide SET notes = 'a' || char(0) || 'b'")
    with pytest.raises(CacappError, match=r"slide.*NUL"):
        copy(record, empty_server)
    assert status(empty_server).current is None


@pytest.mark.sqlite_only
def test_a_number_too_big_for_postgresql_is_named_and_nothing_is_kept(record: Database, ask: Ask, empty_server: str) -> None:
    ask("UPDATE run SET seed = 5000000000 WHERE id = 2")
    with pytest.raises(CacappError, match=r"run.*out of range"):
        copy(record, empty_server)
    assert status(empty_server).current is None


def test_a_copy_that_is_stopped_leaves_no_file(record: Database, tmp_path: Path) -> None:
    class Stops(Silent):
        def advance(self, note: str = "", by: int = 1) -> None:
            if note == "signal":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(record, tmp_path / "half.db", Stops())
    assert not list(tmp_path.glob("half.db*"))


KILLED = """
import sys
from cacapp.db.engine.session import open_database
from cacapp.steps.record.copy import copy
from cacapp.runs.progress import Silent
class Tells(Silent):
    def advance(self, note="", by=1):
        print(note, flush=True)
        if note == "signal":
            import time; time.sleep(60)
copy(open_database(sys.argv[1]), sys.argv[2], Tells())
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_copy_that_is_killed_is_begun_again(record: Database, record_url: str, empty_server: str, tmp_path: Path, kind: str) -> None:
    target = str(tmp_path / "half.db") if kind == "sqlite" else empty_server
    child = subprocess.Popen([sys.executable, "-c", KILLED, record_url, target], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert "signal\n" in child.stdout  # reads up to there
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 20
    while kind == "postgresql" and status(target).current is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert status(target).current is None
    done: CopyReport = copy(record, target)
    assert done.rows > 200


@pytest.mark.slow
@pytest.mark.sqlite_only
def test_a_full_disk_leaves_no_file(record: Database, record_url: str, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from cacapp.cli.app import run_command;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "sys.exit(run_command(['db', 'copy', sys.argv[1]]))"
    )
    environment = {**os.environ, "CACAPP_DB": record_url}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out.db")], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "disk" in done.stderr
    assert not list(tmp_path.glob("out.db*"))
