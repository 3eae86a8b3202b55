"""The schema: migrations and tables say the same, databases of other revisions are told apart, migrating is all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import col, select

from cacapp.db.engine import schema
from cacapp.db.engine.session import Database, migration_connection, open_database, status, upgrade
from cacapp.db.engine.transfer import Content, content, tables
from cacapp.db.tables import ControlSlide, Duplicate, PatientResult, PseudoLabel, SlideQuality, Table
from cacapp.exceptions import CacappError

TABLES = set(Table.metadata.tables)
LATER = {"control_slide", "slide_quality", "duplicate", "request"}  # than schema 0002
LATER |= {
    "contested_signal",
    "reading",
    "sign_off",
    "amendment",
    "account",
    "web_session",
    "api_token",
    "login_attempt",
    "audit_event",
    "chain_link",
}


Ask = Callable[..., list[tuple[Any, ...]]]


def _tables(url: str) -> set[str]:
    with migration_connection(url) as connection:
        return set(inspect(connection).get_table_names())


def _indexes(url: str, table: str) -> set[str | None]:
    with migration_connection(url) as connection:
        return {index["name"] for index in inspect(connection).get_indexes(table)}


def _differences(url: str) -> list[Any]:
    with migration_connection(url) as connection:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Table.metadata)  # type: ignore[no-any-return]


def test_the_migrations_make_exactly_the_tables_of_the_models(database: Database, record_url: str) -> None:
    assert _differences(record_url) == []


@pytest.mark.sqlite_only
def test_the_big_tables_keep_each_row_once(database: Database) -> None:
    with database.reading() as session:
        made = dict(session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all())
    without_rowid = {name for name, sql in made.items() if "WITHOUT ROWID" in sql}
    assert without_rowid == {"signal", "contested_signal", "stray_signal", "signal_count", "cell_call", "verdict", "pseudo_label"}


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


def test_an_older_schema_is_refused_with_the_command_that_upgrades_it(database: Database, record_url: str, ask: Ask) -> None:
    ask("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(CacappError, match="`cacapp db upgrade`"):
        open_database(record_url)
    assert not status(record_url).up_to_date


def test_a_newer_schema_is_refused_and_not_touched_by_upgrade(database: Database, record_url: str, ask: Ask) -> None:
    ask("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CacappError, match="cacapp is older"):
        open_database(record_url)
    with pytest.raises(CacappError, match="cacapp is older"):
        upgrade(record_url)
    assert status(record_url).current == "9999"


def test_upgrade_makes_a_database_and_is_idempotent(tmp_path: Path) -> None:
    assert upgrade(tmp_path / "new.db").up_to_date
    assert upgrade(tmp_path / "new.db").up_to_date
    open_database(tmp_path / "new.db", create=False)


def test_status_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(CacappError, match="no such database"):
        status(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_filled_database_goes_down_and_up_again(database: Database, fill_slide: Callable[..., object], record_url: str) -> None:
    fill_slide(database)
    database.dispose()
    assert upgrade(record_url, "base").current is None
    assert _tables(record_url) == {"alembic_version"}
    assert upgrade(record_url).up_to_date
    fill_slide(open_database(record_url))


def test_pseudo_labels_survive_the_way_to_the_first_schema_and_back(
    database: Database, fill_slide: Callable[..., Any], record_url: str, database_kind: str, ask: Ask
) -> None:
    filled = fill_slide(database)
    with database.session() as session:
        session.execute(
            text(
                "INSERT INTO pseudo_label (cell_id, run_id, accepted, reasons, agreement) VALUES (:cell, :run, TRUE, '[\"a\"]', '[\"b\"]')"
            ),
            {"cell": filled.cell_ids[0], "run": filled.segment_id},
        )
    database.dispose()
    upgrade(record_url, "0001")
    (row,) = ask("SELECT * FROM pseudo_label")
    assert row[:3] == (filled.cell_ids[0], filled.segment_id, 1)
    assert row[3] in ('["a"]', ["a"])  # PostgreSQL's driver reads JSON
    if database_kind == "sqlite":
        assert "WITHOUT ROWID" in ask("SELECT sql FROM sqlite_master WHERE name = 'pseudo_label'")[0][0]
    assert upgrade(record_url).up_to_date
    with open_database(record_url).reading() as session:
        judged = session.exec(select(PseudoLabel)).one()
        assert (judged.accepted, judged.reasons, judged.agreement) == (True, ["a"], [])


def test_results_survive_the_way_to_the_schema_without_ratios_and_back(
    database: Database, fill_slide: Callable[..., Any], make_result: Callable[..., Any], record_url: str, ask: Ask
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
    assert upgrade(record_url, "0002").current == "0002"
    assert ask("SELECT run_id, cells, verdict FROM patient_result") == [(filled.count_id, 3, "insufficient")]
    assert _tables(record_url) == (TABLES | {"alembic_version", "metric"}) - LATER
    assert "ix_patient_result_patient_id" in _indexes(record_url, "patient_result")
    assert upgrade(record_url).up_to_date
    with open_database(record_url).reading() as session:
        assert session.execute(text("SELECT cacs, ratio FROM patient_result")).one() == (1, None)
    assert _differences(record_url) == []


def test_results_name_the_assay_of_the_counts_they_sum_after_the_way_from_the_schema_without(
    database: Database, fill_slide: Callable[..., Any], make_result: Callable[..., Any], record_url: str, ask: Ask
) -> None:
    first, second = fill_slide(database), fill_slide(database, "P1", "S2", "f2")
    with database.session() as session:
        session.add(make_result(first.count_id, 1))
        session.add(make_result(second.count_id, 1))
    ask("UPDATE run SET assay_name = 'strict', assay_version = '7' WHERE id = :run", run=first.count_id)
    # as earlier versions wrote it: under the newest run of all, though it sums the count with the other assay
    ask("UPDATE patient_result SET count_run_ids = :runs WHERE run_id = :run", runs=f"[{first.count_id}]", run=second.count_id)
    database.dispose()
    assert upgrade(record_url, "0007").current == "0007"
    assert "metric" in _tables(record_url)
    assert "ix_patient_result_patient_id" in _indexes(record_url, "patient_result")
    assert upgrade(record_url).up_to_date
    with open_database(record_url).reading() as session:
        found = session.exec(select(PatientResult).order_by(col(PatientResult.run_id))).all()
        assert [(r.run_id, r.assay, r.cacs) for r in found] == [(first.count_id, "strict 7", 1), (second.count_id, "strict 7", 1)]
        assert {r.classes["uncertain"] for r in found} == {0}
    assert _differences(record_url) == []


def test_a_migration_that_fails_half_way_leaves_the_old_schema_and_every_row(
    database: Database, fill_slide: Callable[..., object], record_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_slide(database)

    def rows() -> dict[str, Content]:
        with database.reading() as session:
            return {table.name: content(session.connection(), table, lambda _: None) for table in tables()}

    before = rows()
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    here = schema.migrations_folder()
    for file in ("env.py", *(f"versions/{path.name}" for path in (here / "versions").glob("*.py"))):
        (tmp_path / "migrations" / file).write_text((here / file).read_text())
    (versions / "9000_fails.py").write_text(
        f"from alembic import op\nrevision, down_revision = '9000', '{schema.head()}'\n"
        "def upgrade():\n    op.drop_table('control_slide')\n    op.execute('DELETE FROM signal_count')\n"
        "    op.execute('CREATE TABLE made (x INTEGER)')\n"
        "    with op.batch_alter_table('account') as table:\n        table.drop_column('active')\n"
        "    op.execute('INSERT INTO nowhere VALUES (1)')\n"
        "def downgrade():\n    pass\n"
    )
    monkeypatch.setattr(schema, "migrations_folder", lambda: tmp_path / "migrations")
    schema.head.cache_clear()
    try:
        with pytest.raises(Exception, match="nowhere"):
            upgrade(record_url)
    finally:
        monkeypatch.undo()
        schema.head.cache_clear()
    assert _tables(record_url) == TABLES | {"alembic_version"}
    assert _differences(record_url) == []
    assert rows() == before
    assert status(record_url).up_to_date


def test_a_migration_that_orphans_rows_is_undone(
    database: Database, fill_slide: Callable[..., object], record_url: str, database_kind: str
) -> None:
    fill_slide(database)

    def orphan_and_migrate() -> None:
        with migration_connection(record_url) as connection:
            connection.execute(text("DELETE FROM patient"))
            schema.migrate(connection)

    refused = CacappError if database_kind == "sqlite" else IntegrityError  # PostgreSQL checks each statement
    with pytest.raises(refused, match=r"nothing was changed|foreign key"):
        orphan_and_migrate()
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM patient")).scalar_one() == 1
