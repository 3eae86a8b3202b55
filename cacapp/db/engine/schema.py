"""Schema revision: of a database, of this version of cacapp, and migrations between them.

Reading the revision needs no alembic: it is in the table ``alembic_version``, and the newest one is the highest number among the
migration files. Alembic is imported only for migrations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text

from cacapp.exceptions import CacappError

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "alembic_version"
LANDMARKS = frozenset({"patient", "slide", "frame", "run"})
"""Tables that every revision has; a database with other tables and without these belongs to another program."""


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Revisions of the schema. ``current``: of the database, None if it is empty; ``head``: of this version of cacapp."""

    current: str | None
    head: str

    @property
    def up_to_date(self) -> bool:
        return self.current == self.head


def migrations_folder() -> Path:
    """Return the folder of the migrations: ``cacapp/migrations`` in an installed wheel, ``alembic/`` in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "migrations", package.parent / "alembic"):
        if (folder / "env.py").is_file() and (folder / "versions").is_dir():
            return folder
    raise CacappError("the database migrations are missing from this installation; reinstall cacapp")


@lru_cache(maxsize=1)
def head() -> str:
    """Return the newest revision: the highest number among ``versions/NNNN_*.py``."""
    found = [match[1] for path in (migrations_folder() / "versions").iterdir() if (match := re.fullmatch(r"(\d{4})_\w+\.py", path.name))]
    if not found:
        raise CacappError("the database migrations are missing from this installation; reinstall cacapp")
    return max(found)


def read_status(connection: Connection, label: str) -> SchemaStatus:
    """Read the revision of the database behind ``connection``; ``label`` names it in errors.

    Raises:
        CacappError: the database belongs to another program.
    """
    tables = set(inspect(connection).get_table_names())
    foreign = CacappError(f"{label} is the database of another program; name another file with --db")
    if VERSION_TABLE not in tables:
        if tables:
            raise foreign
        return SchemaStatus(None, head())
    revisions = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608 a constant
    if not revisions and tables == {VERSION_TABLE}:
        return SchemaStatus(None, head())
    if len(revisions) != 1 or not re.fullmatch(r"\d{4}", revisions[0]) or not tables >= LANDMARKS:
        raise foreign
    return SchemaStatus(revisions[0], head())


def require_current(status: SchemaStatus, label: str) -> None:
    """Raise CacappError, with the solution, for a database of another schema than this version of cacapp needs."""
    if status.current is None:
        raise CacappError(f"{label} is empty; `cacapp db upgrade` makes the tables")
    if status.current < status.head:
        raise CacappError(f"{label} has schema {status.current}, this cacapp needs {status.head}; run `cacapp db upgrade`")
    if status.current > status.head:
        raise CacappError(f"{label} has schema {status.current}, this cacapp is older and knows {status.head}; install a newer cacapp")


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for an open connection, which env.py reads from its attributes."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to ``revision`` inside the caller's transaction: completely or not at all (both databases can roll back DDL).

    On SQLite ``connection`` must have foreign keys off, since SQLite rebuilds a table to alter it; they are checked at the end.

    Raises:
        CacappError: after the migration rows refer to missing rows.
    """
    from alembic import command

    config = alembic_config(connection)
    here = read_revision(connection)
    if here is not None and (revision == "base" or (revision != "head" and revision < here)):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)
    require_no_orphans(connection)


def require_no_orphans(connection: Connection) -> None:
    """Check the foreign keys on SQLite, where a transaction may run with them off; PostgreSQL checks each statement.

    Raises:
        CacappError: rows refer to missing rows.
    """
    if connection.dialect.name == "sqlite":
        orphans: list[Any] = list(connection.execute(text("PRAGMA foreign_key_check")).all())
        if orphans:
            raise CacappError(
                f"nothing was changed: {len(orphans)} rows, the first in table {orphans[0][0]}, would refer to rows that are not there"
            )


def read_revision(connection: Connection) -> str | None:
    """Read the revision as stored, without a check."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 a constant
    return revision
