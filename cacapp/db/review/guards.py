"""What the database itself does to keep the append-only tables as they are: triggers that refuse every change.

SQLite: no row is changed or deleted, and none is inserted with a key that is taken, since ``INSERT OR REPLACE`` deletes the old row
without a delete trigger. PostgreSQL: no row is changed or deleted and no table emptied, also for replication roles. Whoever may write
to the database can drop the triggers; ``missing_guards`` finds that. The migration creates what this module says.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

KEYS = {
    "review": ("id", "key"),
    "sign_off": ("id", "previous_id"),
    "amendment": ("id", "sign_off_id"),
    "audit_event": ("id",),
    "chain_link": ("id", "previous_sha256", "sha256", "row_table, row_id"),
}
"""The unique columns of the append-only tables."""
POSTGRES_FUNCTION = "cacapp_append_only"
POSTGRES_BODY = " BEGIN RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME; END "
_TYPE_OF_TRIGGER = {f"{{table}}_{POSTGRES_FUNCTION[7:]}": 1 | 2 | 8 | 16, "{table}_no_truncate": 2 | 32}
"""Name to pg_trigger.tgtype: 1 for each row, 2 before, 8 delete, 16 update, 32 truncate."""


def sqlite_triggers(table: str) -> dict[str, str]:
    """Return name to CREATE TRIGGER of an append-only table on SQLite."""
    refuse = f"BEGIN SELECT RAISE(ABORT, 'table {table} is append-only'); END"
    taken = " OR ".join(" AND ".join(f"{name} = NEW.{name}" for name in key.split(", ")) for key in KEYS[table])
    there = f"EXISTS (SELECT 1 FROM {table} WHERE {taken})"  # noqa: S608 constants
    return {
        f"{table}_no_update": f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"{table}_no_delete": f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        f"{table}_no_replace": f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {there} {refuse}",
        # a number that SQLite has still to choose is -1 before the insert: a row that really has it could be replaced
        f"{table}_no_negative_id": f"CREATE TRIGGER {table}_no_negative_id AFTER INSERT ON {table} WHEN NEW.id < 1 {refuse}",
    }


def postgres_statements(table: str) -> list[str]:
    """Return the statements that guard an append-only table on PostgreSQL, after ``postgres_function``."""
    rows, truncate = (name.format(table=table) for name in _TYPE_OF_TRIGGER)
    call = f"EXECUTE FUNCTION {POSTGRES_FUNCTION}()"
    return [
        f"CREATE TRIGGER {rows} BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {call}",
        f"CREATE TRIGGER {truncate} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {call}",
        # ALWAYS: session_replication_role = replica switches the others off
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {rows}",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {truncate}",
    ]


def postgres_function() -> str:
    """Return the statement that creates the triggers' function, or brings back its body."""
    return f"CREATE OR REPLACE FUNCTION {POSTGRES_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $${POSTGRES_BODY}$$"


def missing_guards(connection: Connection) -> Iterator[str]:
    """Yield, in words, each guard that is missing, switched off or another one, and each trigger or rule that is not cacapp's."""
    if connection.dialect.name == "sqlite":
        yield from _on_sqlite(connection)
    else:
        yield from _on_postgres(connection)


def _on_sqlite(connection: Connection) -> Iterator[str]:
    found = {
        row.name: (row.tbl_name, row.sql)
        for row in connection.execute(text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"))
    }
    for table in KEYS:
        for name, sql in sqlite_triggers(table).items():
            of, there = found.pop(name, (None, None))
            if there is None:
                yield f"table {table}: its trigger {name} is missing"
            elif of != table or " ".join(there.split()) != sql:
                yield f"table {table}: its trigger {name} is not the one that cacapp made"
    for name, (table, _) in found.items():
        yield f"table {table}: trigger {name} is not cacapp's"


def _on_postgres(connection: Connection) -> Iterator[str]:
    wanted = {name.format(table=table): (table, kind) for table in KEYS for name, kind in _TYPE_OF_TRIGGER.items()}
    query = """
        SELECT t.tgname AS name, c.relname AS of, t.tgtype AS type, t.tgenabled AS enabled, t.tgqual IS NOT NULL AS conditional,
          p.proname AS function, p.prosrc AS body
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid)"""
    for row in connection.execute(text(query)).mappings():
        table, kind = wanted.pop(row["name"], (None, None))
        if table is None:
            yield f"table {row['of']}: trigger {row['name']} is not cacapp's"
        elif (row["of"], row["type"], row["function"], row["body"]) != (table, kind, POSTGRES_FUNCTION, POSTGRES_BODY) or row[
            "conditional"
        ]:
            yield f"table {table}: its trigger {row['name']} is not the one that cacapp made"
        elif row["enabled"] not in ("A", b"A"):
            yield f"table {table}: its trigger {row['name']} is switched off"
    for name, (table, _) in wanted.items():
        yield f"table {table}: its trigger {name} is missing"
    rules = """
        SELECT r.rulename AS name, c.relname AS of FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace
          WHERE nspname IN ('pg_catalog', 'information_schema'))"""
    for row in connection.execute(text(rules)).mappings():
        yield f"table {row['of']}: rule {row['name']} is not cacapp's"
    hidden = """
        SELECT c.relname FROM pg_class c WHERE pg_table_is_visible(c.oid) AND c.relname = ANY(:names)
        AND (c.relrowsecurity OR c.relkind <> 'r' OR EXISTS (SELECT 1 FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)))"""
    for name in connection.execute(text(hidden), {"names": list(KEYS)}).scalars():
        yield f"table {name} is not the plain table that cacapp made: row security, inheritance or a view"
