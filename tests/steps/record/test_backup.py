"""A backup is the record as it was at one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cacapp.db.engine.session import Database, open_database
from cacapp.db.engine.transfer import content, tables
from cacapp.db.tables import Patient
from cacapp.exceptions import CacappError
from cacapp.runs.progress import Silent
from cacapp.steps.record.backup import backup
from cacapp.steps.record.check import check
from cacapp.steps.record.copy import copy


@pytest.fixture
def record(counted: Callable[..., Any], record_url: str) -> Iterator[Database]:
    opened = open_database(record_url, create=False)
    yield opened
    opened.dispose()


def contents(database: Database) -> dict[str, Any]:
    with database.reading() as session:
        return {table.name: content(session.connection(), table, lambda _: None) for table in tables()}


def test_a_backup_holds_the_same_and_is_the_users_alone(record: Database, tmp_path: Path) -> None:
    done = backup(record, tmp_path / "backup.db")
    assert done.size == (tmp_path / "backup.db").stat().st_size > 0
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
    saved = open_database(tmp_path / "backup.db", create=False)
    assert contents(saved) == contents(record)
    assert check(saved).problems == ()
    saved.dispose()
    assert [path.name for path in tmp_path.glob("*backup.db*")] == ["backup.db"]


def test_a_backup_goes_back_to_postgresql(record: Database, postgres: Any, tmp_path: Path) -> None:
    backup(record, tmp_path / "backup.db")
    name = postgres.create()
    copy(open_database(tmp_path / "backup.db"), postgres.url(name))
    restored = open_database(postgres.url(name))
    assert contents(restored) == contents(record)
    restored.dispose()
    postgres.drop(name)


@pytest.mark.sqlite_only
def test_a_file_is_never_replaced_and_no_half_one_is_left(record: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.db").write_text("mine")
    with pytest.raises(CacappError, match=r"mine\.db exists"):
        backup(record, tmp_path / "mine.db")
    assert (tmp_path / "mine.db").read_text() == "mine"
    with pytest.raises(CacappError, match="no folder"):
        backup(record, tmp_path / "missing" / "b.db")

    class Stops(Silent):
        def advance(self, note: str = "", by: int = 1) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(record, tmp_path / "half.db", Stops())
    assert not list(tmp_path.glob("*half.db*"))


def test_a_backup_while_others_write_is_one_moment(
    record: Database, record_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer adds patients two at a time, before, while and after the pages are copied: a moment has an even number of them."""
    monkeypatch.setattr("cacapp.db.engine.snapshot.PAGES_AT_ONCE", 4)
    other = open_database(record_url)
    written = 0

    def write_two() -> None:
        nonlocal written
        with other.session() as session:
            session.add_all([Patient(code=f"a{written}"), Patient(code=f"b{written}")])
        written += 1

    class Writes(Silent):
        def advance(self, note: str = "", by: int = 1) -> None:
            writer = threading.Thread(target=write_two)
            writer.start()
            writer.join()

    write_two()
    backup(record, tmp_path / "backup.db", Writes())
    assert written > 10
    saved = open_database(tmp_path / "backup.db")
    with saved.reading() as session:
        codes = session.execute(text("SELECT code FROM patient")).scalars().all()
    assert sorted(codes) == ["P1", "a0", "b0"]
    assert check(saved).problems == ()
