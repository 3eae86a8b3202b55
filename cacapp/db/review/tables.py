"""The tables of the review: decisions, readings, signatures, accounts and the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, ForeignKey, Index, Integer, UniqueConstraint
from sqlmodel import Field

from cacapp.db.engine.base import Table, now
from cacapp.db.engine.columns import BigId, UtcDateTime

APPEND_ONLY = ("review", "sign_off", "amendment", "audit_event", "chain_link")
"""Tables in which the database itself refuses to change, replace or delete a row (see ``guards``)."""


class Review(Table, table=True):
    """Append-only: a person's change of a cell's call by count run ``run_id``, from what to what, and why.

    ``before`` and ``after`` hold the whole state of the cell (see cacapp.fish.review.State), so that the last row of a cell and position
    is what holds. ``position``: whose reading it belongs to. ``key``: made by the client for each action; the same action sent twice is
    one row.
    """

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("position IN ('first', 'second', 'adjudication')", name="position"),
        Index(None, "run_id", "position", "cell_id"),
    )
    id: int = Field(default=None, primary_key=True)
    cell_id: int = Field(sa_column=Column(BigId, ForeignKey("cell.id"), nullable=False, index=True))
    reviewer: str
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    before: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    after: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    reason: str | None = None
    run_id: int | None = Field(default=None, foreign_key="run.id")
    position: str = Field(default="first", sa_column_kwargs={"server_default": "first"})
    kind: str = Field(default="class", sa_column_kwargs={"server_default": "class"})
    undoes: int | None = Field(default=None, foreign_key="review.id")
    key: str | None = Field(default=None, unique=True)


class Reading(Table, table=True):
    """A person's part in the review of a count run. A person has one position, so that a second reader has not read before."""

    __tablename__ = "reading"
    __table_args__ = (CheckConstraint("position IN ('first', 'second', 'adjudication')", name="position"),)
    run_id: int = Field(foreign_key="run.id", primary_key=True)
    reviewer: str = Field(primary_key=True)
    position: str
    started_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SignOff(Table, table=True):
    """Append-only: a patient's signed result. ``record`` holds all of it, ``sha256`` its digest chained to the previous one."""

    __tablename__ = "sign_off"
    id: int = Field(default=None, primary_key=True)
    patient_id: int = Field(foreign_key="patient.id", index=True)
    run_id: int = Field(foreign_key="run.id")
    signer: str
    signed_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    comment: str | None = None
    record: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    previous_id: int | None = Field(default=None, foreign_key="sign_off.id", unique=True)
    sha256: str


class Amendment(Table, table=True):
    """Append-only: the reopening of a signed result, and why."""

    __tablename__ = "amendment"
    id: int = Field(default=None, primary_key=True)
    sign_off_id: int = Field(foreign_key="sign_off.id", unique=True)
    opened_by: str
    opened_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    reason: str


class Account(Table, table=True):
    """A person who may use the review application. Accounts are never deleted, since reviews name them."""

    __tablename__ = "account"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'reviewer', 'pathologist', 'admin', 'owner')", name="role"),)
    id: int = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    role: str
    password_hash: str | None = None
    active: bool = True
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class WebSession(Table, table=True):
    """A browser session; only the digest of its cookie is stored."""

    __tablename__ = "web_session"
    token_sha256: str = Field(primary_key=True)
    account_id: int = Field(foreign_key="account.id", index=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    last_seen_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class ApiToken(Table, table=True):
    """A token for scripts; only its digest is stored. ``can_write`` False: it only reads, whatever its owner's role."""

    __tablename__ = "api_token"
    id: int = Field(default=None, primary_key=True)
    account_id: int = Field(foreign_key="account.id", index=True)
    label: str
    can_write: bool = False
    token_sha256: str = Field(unique=True)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class LoginAttempt(Table, table=True):
    """A login attempt, which throttling counts."""

    __tablename__ = "login_attempt"
    __table_args__ = (Index(None, "name", "at"), Index(None, "address", "at"))
    id: int = Field(default=None, primary_key=True)
    name: str
    address: str
    at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    succeeded: bool


class AuditEvent(Table, table=True):
    """Append-only: events other than decisions on cells: logins, accounts, readings, signatures, downloads of reports."""

    __tablename__ = "audit_event"
    id: int = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    account: str
    action: str
    subject: str = ""
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    address: str = ""


class ChainLink(Table, table=True):
    """Append-only: a link of the chain over all rows of the other append-only tables, one for each row (see ``chain``).

    ``id`` counts from 1 without a gap. ``sha256`` covers the other columns, ``previous_sha256`` is that of the link before, so that a
    changed row or link changes all links after it. ``origin``: the program that wrote the row, or the migration that found it there.
    """

    __tablename__ = "chain_link"
    __table_args__ = (UniqueConstraint("row_table", "row_id"),)
    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    row_table: str
    row_id: int
    row_sha256: str
    origin: str
    previous_sha256: str = Field(unique=True)
    sha256: str = Field(unique=True)
