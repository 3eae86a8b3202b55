"""Base of all tables: metadata and names of constraints."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import MetaData
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMES))):
    """Base of the tables. Each constraint gets a name, so that a later migration can drop it."""


def table_of(model: type[Table]) -> SqlTable:
    """Return the SQL table of a model, for writes without the models."""
    return Table.metadata.tables[str(model.__tablename__)]


def now() -> datetime:
    """Return the current time, UTC."""
    return datetime.now(UTC)
