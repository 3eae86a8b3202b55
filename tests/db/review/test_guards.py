"""Rows of the append-only tables stay as they are whatever SQL is tried; who removes what protects them is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cacapp.db.engine.session import Database, migration_connection
from cacapp.db.engine.transfer import content, tables
from cacapp.db.review.guards import KEYS, missing_guards
from cacapp.db.review.tables import APPEND_ONLY

COLUMN = {"review": "reviewer", "sign_off": "signer", "amendment": "opened_by", "audit_event": "account", "chain_link": "origin"}


def rows(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return {t.name: content(session.connection(), t, lambda _: None).sha256 for t in tables() if t.name in KEYS}


def columns(database: Database, table: str) -> list[str]:
    return next([c.name for c in t.columns] for t in tables() if t.name == table)


def ways_on_sqlite(table: str, names: list[str]) -> Iterator[str]:
    """Each way of SQLite to write over or take away the first row of a table, or another one with one of its keys."""
    column = COLUMN[table]
    forged = ", ".join("'mallory'" if name == column else name for name in names)
    row = f"SELECT {forged} FROM {table} WHERE id = 1"
    yield f"INSERT OR REPLACE INTO {table} {row}"
    yield f"REPLACE INTO {table} {row}"
    yield f"PRAGMA recursive_triggers = ON; REPLACE INTO {table} {row}"
    yield f"INSERT INTO {table} {row} AND true ON CONFLICT (id) DO UPDATE SET {column} = 'mallory'"
    yield f"UPDATE {table} SET {column} = 'mallory'"
    yield f"UPDATE OR REPLACE {table} SET id = 1 WHERE id = 2"
    yield f"UPDATE {table} SET {column} = other.code FROM patient AS other"
    yield f"DELETE FROM {table}"
    yield f"WITH gone AS (SELECT 1 AS id) DELETE FROM {table} WHERE id IN (SELECT id FROM gone)"
    attached = f"ATTACH ':memory:' AS other; CREATE TABLE other.{table} AS {row}"
    yield f"{attached}; INSERT OR REPLACE INTO main.{table} SELECT * FROM other.{table}"
    yield f"CREATE TEMP TABLE {table} AS {row}; REPLACE INTO main.{table} SELECT * FROM temp.{table}"
    touch = "AFTER INSERT ON main.patient BEGIN"
    yield f"CREATE TEMP TRIGGER t {touch} DELETE FROM {table}; END; INSERT INTO patient (code, created_at) VALUES ('P9', '2026-01-01')"
    for key in KEYS[table][1:]:
        own = key.split(", ")
        some = " AND ".join(f"{name} IS NOT NULL" for name in own)
        yield f"INSERT OR REPLACE INTO {table} SELECT {unlike(names, 77, own)} FROM {table} WHERE {some} LIMIT 1"
    yield f"INSERT INTO {table} SELECT {unlike(names, -1, [])} FROM {table} WHERE id = 1"


def unlike(names: list[str], number: int, same: list[str]) -> str:
    """The columns of a row with another number and other unique values, but for those that are the ``same``."""
    other = {name: f"'new ' || {name}" for name in ("key", "sha256", "previous_sha256", "row_table")} | {"id": str(number)}
    other |= {"previous_id": "NULL", "sign_off_id": "9"}
    return ", ".join(name if name in same else other.get(name, name) for name in names)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_sqlite_refuses_every_way_to_write_over_a_row_or_take_it_away(recorded: Database, record_url: str, table: str) -> None:
    before = rows(recorded)
    tried = list(ways_on_sqlite(table, columns(recorded, table)))
    for statements in tried:
        with closing(sqlite3.connect(record_url, isolation_level=None)) as raw:
            first, _, last = statements.rpartition("; ")
            raw.executescript(f"{first};")
            with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                raw.execute(last)
    assert rows(recorded) == before
    assert len(tried) >= 13


HIDING = {
    "a dropped trigger": ["DROP TRIGGER review_no_replace"],
    "a trigger of the same name that does nothing": [
        "DROP TRIGGER review_no_update",
        "CREATE TRIGGER review_no_update BEFORE UPDATE ON review BEGIN SELECT 1; END",
    ],
    "a trigger of another table under its name": [
        "DROP TRIGGER review_no_update",
        "CREATE TRIGGER review_no_update BEFORE UPDATE ON patient BEGIN SELECT RAISE(ABORT, 'table review is append-only'); END",
    ],
    "a trigger with a condition": [
        "DROP TRIGGER review_no_delete",
        "CREATE TRIGGER review_no_delete BEFORE DELETE ON review WHEN OLD.id > 9 "
        "BEGIN SELECT RAISE(ABORT, 'table review is append-only'); END",
    ],
    "the schema written by hand": [
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, ' BEGIN', ' WHEN 0 BEGIN') WHERE name = 'sign_off_no_update'",
        "PRAGMA writable_schema = OFF",
    ],
    "another table in the place of the first": [
        "ALTER TABLE audit_event RENAME TO audit_event_old",
        "CREATE TABLE audit_event AS SELECT * FROM audit_event_old",
    ],
    "a trigger that changes what others write": [
        "CREATE TRIGGER more AFTER INSERT ON signal_count BEGIN UPDATE signal_count SET n = 2 WHERE cell_id = NEW.cell_id; END"
    ],
}


@pytest.mark.sqlite_only
@pytest.mark.parametrize("how", HIDING)
def test_on_sqlite_it_is_found_when_a_trigger_is_not_the_one_cacapp_made(recorded: Database, record_url: str, how: str) -> None:
    with recorded.reading() as session:
        assert list(missing_guards(session.connection())) == []
    with closing(sqlite3.connect(record_url, isolation_level=None)) as raw:
        for statement in HIDING[how]:
            raw.execute(statement)
    recorded.dispose()
    with recorded.reading() as session:
        assert len(list(missing_guards(session.connection()))) >= 1


def execute(url: str, statements: list[str]) -> None:
    with migration_connection(url) as connection:
        for statement in statements:
            connection.execute(text(statement))


def ways_on_postgres(table: str, names: list[str]) -> Iterator[list[str]]:
    column, listed = COLUMN[table], ", ".join(names)
    yield [f"UPDATE {table} SET {column} = 'mallory'"]
    yield [f"DELETE FROM {table}"]
    yield [f"TRUNCATE {table}"]
    yield [f"TRUNCATE {table} CASCADE"]
    yield [f"INSERT INTO {table} SELECT {listed} FROM {table} WHERE id = 1 ON CONFLICT (id) DO UPDATE SET {column} = 'mallory'"]
    merged = f"MERGE INTO {table} AS old USING (SELECT 1 AS id) AS new ON old.id = new.id WHEN MATCHED THEN"
    yield [f"{merged} UPDATE SET {column} = 'mallory'"]
    yield [f"{merged} DELETE"]
    yield ["SET LOCAL session_replication_role = replica", f"UPDATE {table} SET {column} = 'mallory'"]
    yield ["SET LOCAL session_replication_role = replica", f"TRUNCATE {table} CASCADE"]


@pytest.mark.parametrize("database_kind", ["postgresql"])
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_postgresql_refuses_every_way_to_write_over_a_row_or_take_it_away(recorded: Database, record_url: str, table: str) -> None:
    before = rows(recorded)
    for statements in ways_on_postgres(table, columns(recorded, table)):
        with pytest.raises(DBAPIError, match=r"append-only|cannot truncate a table referenced"):
            execute(record_url, statements)
    assert rows(recorded) == before


HIDING_ON_POSTGRES = [
    ["ALTER TABLE review DISABLE TRIGGER review_append_only"],
    ["ALTER TABLE review DISABLE TRIGGER ALL"],
    ["ALTER TABLE review ENABLE TRIGGER review_append_only"],
    ["DROP TRIGGER sign_off_no_truncate ON sign_off"],
    ["ALTER TRIGGER sign_off_append_only ON sign_off RENAME TO other"],
    ["CREATE OR REPLACE FUNCTION cacapp_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"],
    ["CREATE RULE quiet AS ON UPDATE TO audit_event DO INSTEAD NOTHING"],
    ["ALTER TABLE review ENABLE ROW LEVEL SECURITY"],
    ["ALTER TABLE amendment RENAME TO amendment_old", "CREATE TABLE amendment (LIKE amendment_old INCLUDING ALL)"],
    ["CREATE TABLE more () INHERITS (chain_link)"],
]


@pytest.mark.parametrize("database_kind", ["postgresql"])
@pytest.mark.parametrize("statements", HIDING_ON_POSTGRES, ids=lambda s: s[0][:40])
def test_on_postgresql_it_is_found_when_a_trigger_is_off_or_another_one(recorded: Database, record_url: str, statements: list[str]) -> None:
    with recorded.reading() as session:
        assert list(missing_guards(session.connection())) == []
    execute(record_url, statements)
    with recorded.reading() as session:
        assert len(list(missing_guards(session.connection()))) >= 1


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_copy_into_a_table_cannot_take_a_number_that_is_taken(recorded: Database, record_url: str) -> None:
    before = rows(recorded)
    with pytest.raises(psycopg.errors.UniqueViolation):
        copy_in(record_url, "amendment (id, sign_off_id, opened_by, opened_at, reason)", (1, 2, "mallory", "2026-01-01", "none"))
    assert rows(recorded) == before


def copy_in(url: str, table: str, row: tuple[object, ...]) -> None:
    with psycopg.connect(url) as raw, raw.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as rows_in:
        rows_in.write_row(row)
