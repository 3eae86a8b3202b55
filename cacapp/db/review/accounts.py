"""Accounts, browser sessions, tokens for scripts, and login attempts. The database stores digests of secrets only."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from cacapp.db.review.tables import Account, ApiToken, LoginAttempt, WebSession
from cacapp.db.tables import now
from cacapp.exceptions import UsageError

CLOCK_SLACK = timedelta(minutes=1)
"""A time so far ahead of the clock may be another computer's; one further ahead means that the clock was set back."""


def new_secret() -> str:
    """Return 256 random bits, safe in a cookie or a URL."""
    return secrets.token_urlsafe(32)


def sha256(secret: str) -> str:
    """Return the digest of a secret with 256 bits; a password needs argon2 instead."""
    return hashlib.sha256(secret.encode()).hexdigest()


def account_named(session: Session, name: str) -> Account | None:
    """Return the account with this name, active or not; None without one."""
    found: Account | None = session.execute(select(Account).where(col(Account.name) == name)).scalar_one_or_none()
    return found


def require_account(session: Session, name: str) -> Account:
    """Return the account with this name. Raises UsageError without one."""
    account = account_named(session, name)
    if account is None:
        raise UsageError(f"there is no account {name}; `cacapp users list` shows those there are")
    return account


def locked_account(session: Session, account_id: int) -> Account:
    """Return an account as it is now; until the transaction ends, nobody else changes its password, role or state.

    Whoever ends its sessions and tokens locks it first, and so does each write in its name: one happens before the other, never during it.
    """
    query = select(Account).where(col(Account.id) == account_id).with_for_update(key_share=True)
    found: Account = session.execute(query.execution_options(populate_existing=True)).scalar_one()
    return found


def accounts(session: Session) -> list[Account]:
    """Return all accounts by name."""
    return list(session.execute(select(Account).order_by(col(Account.name))).scalars())


def end_sessions(session: Session, account_id: int) -> None:
    """End all sessions of an account and revoke its tokens."""
    session.execute(delete(WebSession).where(col(WebSession.account_id) == account_id))
    session.execute(
        update(ApiToken).where(col(ApiToken.account_id) == account_id, col(ApiToken.revoked_at).is_(None)).values(revoked_at=now())
    )


def open_session(session: Session, account_id: int) -> str:
    """Open a session; return its secret, which is not stored."""
    secret = new_secret()
    session.add(WebSession(token_sha256=sha256(secret), account_id=account_id))
    session.flush()
    return secret


def close_session(session: Session, digest: str) -> None:
    """End the session with this digest, if there is one."""
    session.execute(delete(WebSession).where(col(WebSession.token_sha256) == digest))


def session_of(session: Session, digest: str) -> tuple[WebSession, Account] | None:
    """Return a session by its cookie's digest with its account, however old it is; None if it is unknown."""
    query = select(WebSession, Account).join(Account, col(Account.id) == col(WebSession.account_id))
    row = session.execute(query.where(col(WebSession.token_sha256) == digest)).first()
    return None if row is None else (row[0], row[1])


def touch_session(session: Session, digest: str, at: datetime) -> None:
    """Record when a session was used."""
    session.execute(update(WebSession).where(col(WebSession.token_sha256) == digest).values(last_seen_at=at))


def delete_old_sessions(session: Session, before: datetime) -> None:
    """Delete sessions not used since ``before``, passwords tried more than a day before it, and both from a time that has yet to come."""
    ahead = now() + CLOCK_SLACK
    session.execute(delete(WebSession).where((col(WebSession.last_seen_at) < before) | (col(WebSession.last_seen_at) > ahead)))
    session.execute(delete(LoginAttempt).where((col(LoginAttempt.at) < before - timedelta(days=1)) | (col(LoginAttempt.at) > ahead)))


def unchanged(session: Session, account: Account) -> bool:
    """Return whether password, role and state of an account read before are still the same; they then stay so until the commit."""
    found = locked_account(session, account.id)
    return (found.password_hash, found.role, found.active) == (account.password_hash, account.role, account.active)


def make_token(session: Session, account_id: int, label: str, days: int, can_write: bool) -> tuple[ApiToken, str]:
    """Make a token for scripts; return it with its secret, which is shown once and not stored."""
    secret = new_secret()
    expires = now() + timedelta(days=days)
    token = ApiToken(account_id=account_id, label=label, can_write=can_write, token_sha256=sha256(secret), expires_at=expires)
    session.add(token)
    session.flush()
    return token, secret


def tokens_of(session: Session, account_id: int) -> Sequence[ApiToken]:
    """Return an account's tokens, latest first."""
    return list(session.execute(select(ApiToken).where(col(ApiToken.account_id) == account_id).order_by(col(ApiToken.id).desc())).scalars())


def account_of_token(session: Session, digest: str) -> tuple[ApiToken, Account] | None:
    """Return the token with this digest and its active account; None if it is unknown, revoked, expired, or made at a time yet to come."""
    query = select(ApiToken, Account).join(Account, col(Account.id) == col(ApiToken.account_id))
    query = query.where(col(ApiToken.token_sha256) == digest)
    row = session.execute(query).first()
    moment = now()
    if row is None or row[0].revoked_at is not None or row[0].expires_at <= moment or not row[1].active:
        return None
    return None if row[0].created_at > moment + CLOCK_SLACK else (row[0], row[1])


def note_attempt(session: Session, name: str, address: str, *, succeeded: bool) -> None:
    """Record a password that was checked, right or wrong."""
    session.add(LoginAttempt(name=name, address=address, succeeded=succeeded))
    session.flush()


def failures_since(session: Session, since: datetime, *, name: str | None = None, address: str | None = None) -> int:
    """Count wrong passwords since a moment: of a name since its last right one, or from an address.

    Those of a time yet to come do not count: the computer's clock was set back since, and would lock the name out for that long.
    """
    query = select(func.count()).select_from(LoginAttempt).where(col(LoginAttempt.succeeded).is_(False))
    query = query.where(col(LoginAttempt.at) >= since, col(LoginAttempt.at) <= now() + CLOCK_SLACK)
    if name is not None:
        right = select(func.max(col(LoginAttempt.id))).where(col(LoginAttempt.name) == name, col(LoginAttempt.succeeded).is_(True))
        query = query.where(col(LoginAttempt.name) == name, col(LoginAttempt.id) > func.coalesce(right.scalar_subquery(), 0))
    if address is not None:
        query = query.where(col(LoginAttempt.address) == address)
    return int(session.execute(query).scalar_one())


def revoke_token(session: Session, account_id: int, token_id: int) -> None:
    """Revoke a token of this account. Raises UsageError if it has no such token."""
    token = session.get(ApiToken, token_id)
    if token is None or token.account_id != account_id:
        raise UsageError(f"this account has no token {token_id}")
    token.revoked_at = token.revoked_at or now()
    session.flush()
