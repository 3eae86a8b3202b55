"""Column types of the tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer
from sqlalchemy.types import TypeDecorator

BigId = BigInteger().with_variant(Integer(), "sqlite")
"""Ids of cells: a screening programme has more than 2^31 of them; SQLite's INTEGER holds 64 bits anyway."""


class Scaled(TypeDecorator[float]):
    """Float stored as an integer number of 1/scale units: a third of the bytes in SQLite, and the same on every database.

    ``Scaled(100)`` stores px to a hundredth. Readers of raw SQL divide by the scale (see docs and column comments).
    """

    impl = Integer
    cache_ok = True

    def __init__(self, scale: int = 100) -> None:
        super().__init__()
        self.scale = scale

    def process_bind_param(self, value: float | None, dialect: Any) -> int | None:
        return None if value is None else round(float(value) * self.scale)

    def process_result_value(self, value: int | None, dialect: Any) -> float | None:
        return None if value is None else value / self.scale


class UtcDateTime(TypeDecorator[datetime]):
    """UTC time with its time zone, on SQLite, which stores no zone, and on PostgreSQL, which stores the moment alone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the time in UTC; PostgreSQL gives times in the zone of the session."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
