"""The schema: migrations and tables say the same, databases of other revisions are told apart, migrating is all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from cacapp.db import schema
from cacapp.db.session import Database, migration_connection, open_database, status, upgrade
from cacapp.db.tables import ControlSlide, Duplicate, SlideQuality, Table
from cacapp.errors import CacappError

TABLES = set(Table.metadata.tables)
OF_THE_REVIEW = {"reading", "sign_off", "amendment", "account", "web_session", "api_token", "login_attempt", "audit_event"}  # since 0006


def _set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", [revision])
    raw.close()


def test_the_migrations_make_exactly_the_tables_of_the_models(empty_record: Path) -> None:
    with migration_connection(empty_record) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_the_big_tables_keep_each_row_once(database: Database) -> None:
    with database.reading() as session:
        made = dict(session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).tuples().all())
    without_rowid = {name for name, sql in made.items() if "WITHOUT ROWID" in sql}
    assert without_rowid == {"signal", "stray_signal", "signal_count", "cell_call", "verdict", "pseudo_label"}


def test_the_tables_can_be_made_on_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in Table.metadata.sorted_tables]
    indexes = [str(CreateIndex(index).compile(dialect=dialect)) for table in Table.metadata.tables.values() for index in table.indexes]
    assert "id BIGSERIAL NOT NULL" in next(s for s in statements if "TABLE cell " in s)
    assert not any("ROWID" in statement for statement in statements)
    assert any("WHERE class <> 'normal'" in index for index in indexes)


def test_head_is_alembics_head() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(schema.migrations_folder())).get_current_head() == schema.head()


def test_status_of_a_current_database(empty_record: Path) -> None:
    assert status(empty_record) == schema.SchemaStatus(schema.head(), schema.head())
    assert status(empty_record).up_to_date


def test_an_older_schema_is_refused_with_the_command_that_upgrades_it(database: Database, tmp_path: Path) -> None:
    _set_revision(tmp_path / "cacapp.db", "0000")
    with pytest.raises(CacappError, match="`cacapp db upgrade`"):
        open_database(tmp_path / "cacapp.db")
    assert not status(tmp_path / "cacapp.db").up_to_date


def test_a_newer_schema_is_refused_and_not_touched_by_upgrade(database: Database, tmp_path: Path) -> None:
    _set_revision(tmp_path / "cacapp.db", "9999")
    with pytest.raises(CacappError, match="cacapp is older"):
        open_database(tmp_path / "cacapp.db")
    with pytest.raises(CacappError, match="cacapp is older"):
        upgrade(tmp_path / "cacapp.db")
    assert status(tmp_path / "cacapp.db").current == "9999"


def test_upgrade_makes_a_database_and_is_idempotent(tmp_path: Path) -> None:
    assert upgrade(tmp_path / "new.db").up_to_date
    assert upgrade(tmp_path / "new.db").up_to_date
    open_database(tmp_path / "new.db", create=False)


def test_status_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(CacappError, match="no such database"):
        status(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_filled_database_goes_down_and_up_again(database: Database, fill_slide: Callable[..., object], tmp_path: Path) -> None:
    fill_slide(database)
    database.dispose()
    path = tmp_path / "cacapp.db"
    assert upgrade(path, "base").current is None
    with sqlite3.connect(path) as raw:
        assert {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} == {"alembic_version"}
    raw.close()
    assert upgrade(path).up_to_date
    fill_slide(open_database(path))


def test_pseudo_labels_survive_the_way_to_the_first_schema_and_back(
    database: Database, fill_slide: Callable[..., Any], tmp_path: Path
) -> None:
    filled = fill_slide(database)
    with database.session() as session:
        session.execute(
            text("INSERT INTO pseudo_label (cell_id, run_id, accepted, reasons, agreement) VALUES (:cell, :run, 1, '[\"a\"]', '[\"b\"]')"),
            {"cell": filled.cell_ids[0], "run": filled.segment_id},
        )
    database.dispose()
    upgrade(tmp_path / "cacapp.db", "0001")
    with sqlite3.connect(tmp_path / "cacapp.db") as raw:
        assert raw.execute("SELECT * FROM pseudo_label").fetchall() == [(filled.cell_ids[0], filled.segment_id, 1, '["a"]')]
        assert "WITHOUT ROWID" in raw.execute("SELECT sql FROM sqlite_master WHERE name = 'pseudo_label'").fetchone()[0]
    raw.close()
    assert upgrade(tmp_path / "cacapp.db").up_to_date
    with open_database(tmp_path / "cacapp.db").reading() as session:
        assert session.execute(text("SELECT accepted, reasons, agreement FROM pseudo_label")).one() == (1, '["a"]', "[]")


def test_results_survive_the_way_to_the_schema_without_ratios_and_back(
    database: Database, fill_slide: Callable[..., Any], make_result: Callable[..., Any], tmp_path: Path
) -> None:
    filled = fill_slide(database)
    with database.session() as session:
        kept = make_result(filled.count_id, 1)
        kept.ratio = {"ratio": 2.5}
        session.add(kept)
        session.add(ControlSlide(slide_id=filled.slide_id, note="donor"))
        session.add(SlideQuality(run_id=filled.count_id, channel="red", measure="snr", value=4.5, verdict="fail", reason="low"))
        session.add(Duplicate(run_id=filled.count_id, cell_id=filled.cell_ids[0], duplicate_of=filled.cell_ids[1]))
    database.dispose()
    assert upgrade(tmp_path / "cacapp.db", "0002").current == "0002"
    with sqlite3.connect(tmp_path / "cacapp.db") as raw:
        assert raw.execute("SELECT run_id, cells, verdict FROM patient_result").fetchall() == [(filled.count_id, 3, "insufficient")]
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert names == (TABLES | {"alembic_version"}) - {"control_slide", "slide_quality", "duplicate"} - OF_THE_REVIEW
        assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'ix_patient_result_patient_id'").fetchone() == (1,)
    raw.close()
    assert upgrade(tmp_path / "cacapp.db").up_to_date
    with open_database(tmp_path / "cacapp.db").reading() as session:
        assert session.execute(text("SELECT cacs, ratio FROM patient_result")).one() == (1, None)
    with migration_connection(tmp_path / "cacapp.db") as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Table.metadata) == []


def test_a_migration_that_fails_leaves_the_old_schema(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    here = schema.migrations_folder()
    for file in ("env.py", *(f"versions/{path.name}" for path in (here / "versions").glob("*.py"))):
        (tmp_path / "migrations" / file).write_text((here / file).read_text())
    (versions / "9000_fails.py").write_text(
        f"from alembic import op\nrevision, down_revision = '9000', '{schema.head()}'\n"
        "def upgrade():\n    op.drop_table('metric')\n    op.execute('INSERT INTO nowhere VALUES (1)')\n"
        "def downgrade():\n    pass\n"
    )
    monkeypatch.setattr(schema, "migrations_folder", lambda: tmp_path / "migrations")
    schema.head.cache_clear()
    try:
        with pytest.raises(Exception, match="nowhere"):
            upgrade(tmp_path / "cacapp.db")
    finally:
        monkeypatch.undo()
        schema.head.cache_clear()
    with sqlite3.connect(tmp_path / "cacapp.db") as raw:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    raw.close()
    assert names == TABLES | {"alembic_version"}
    assert status(tmp_path / "cacapp.db").up_to_date


def test_a_migration_that_orphans_rows_is_undone(database: Database, fill_slide: Callable[..., object], tmp_path: Path) -> None:
    fill_slide(database)

    def orphan_and_migrate() -> None:
        with migration_connection(tmp_path / "cacapp.db") as connection:
            connection.execute(text("DELETE FROM patient"))
            schema.migrate(connection)

    with pytest.raises(CacappError, match="was undone"):
        orphan_and_migrate()
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 1
