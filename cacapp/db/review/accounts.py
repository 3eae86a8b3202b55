"""Accounts, browser sessions, tokens for scripts, and tried passwords. Secrets are kept as digests only."""

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


def new_secret() -> str:
    """256 random bits, fit for a cookie or a URL."""
    return secrets.token_urlsafe(32)


def sha256(secret: str) -> str:
    """What is kept of a secret with 256 bits; a password needs argon2 instead."""
    return hashlib.sha256(secret.encode()).hexdigest()


def account_named(session: Session, name: str) -> Account | None:
    """The account with this name, active or not."""
    found: Account | None = session.execute(select(Account).where(col(Account.name) == name)).scalar_one_or_none()
    return found


def require_account(session: Session, name: str) -> Account:
    """The account with this name. Raises UsageError where there is none."""
    account = account_named(session, name)
    if account is None:
        raise UsageError(f"there is no account {name}; `cacapp users list` shows those there are")
    return account


def accounts(session: Session) -> list[Account]:
    """All accounts by name."""
    return list(session.execute(select(Account).order_by(col(Account.name))).scalars())


def end_sessions(session: Session, account_id: int) -> None:
    """Log an account out everywhere and take its tokens back."""
    session.execute(delete(WebSession).where(col(WebSession.account_id) == account_id))
    session.execute(
        update(ApiToken).where(col(ApiToken.account_id) == account_id, col(ApiToken.revoked_at).is_(None)).values(revoked_at=now())
    )


def open_session(session: Session, account_id: int) -> str:
    """A new session; returns its secret, which is kept nowhere."""
    secret = new_secret()
    session.add(WebSession(token_sha256=sha256(secret), account_id=account_id))
    session.flush()
    return secret


def close_session(session: Session, secret: str) -> None:
    """Log out; a secret that is unknown does no harm."""
    session.execute(delete(WebSession).where(col(WebSession.token_sha256) == sha256(secret)))


def session_of(session: Session, secret: str) -> tuple[WebSession, Account] | None:
    """The session of a cookie with its account, however old it is; None where it is unknown."""
    query = select(WebSession, Account).join(Account, col(Account.id) == col(WebSession.account_id))
    row = session.execute(query.where(col(WebSession.token_sha256) == sha256(secret))).first()
    return None if row is None else (row[0], row[1])


def touch_session(session: Session, secret: str) -> None:
    """Note that a session was used just now."""
    session.execute(update(WebSession).where(col(WebSession.token_sha256) == sha256(secret)).values(last_seen_at=now()))


def forget_old_sessions(session: Session, before: datetime) -> None:
    """Delete sessions not used since ``before``, and passwords tried more than a day before it."""
    session.execute(delete(WebSession).where(col(WebSession.last_seen_at) < before))
    session.execute(delete(LoginAttempt).where(col(LoginAttempt.at) < before - timedelta(days=1)))


def make_token(session: Session, account_id: int, label: str, days: int, can_write: bool) -> tuple[ApiToken, str]:
    """A token for scripts and its secret, which is shown once and kept nowhere."""
    secret = new_secret()
    expires = now() + timedelta(days=days)
    token = ApiToken(account_id=account_id, label=label, can_write=can_write, token_sha256=sha256(secret), expires_at=expires)
    session.add(token)
    session.flush()
    return token, secret


def tokens_of(session: Session, account_id: int) -> Sequence[ApiToken]:
    """An account's tokens, latest first."""
    return list(session.execute(select(ApiToken).where(col(ApiToken.account_id) == account_id).order_by(col(ApiToken.id).desc())).scalars())


def account_of_token(session: Session, secret: str) -> tuple[ApiToken, Account] | None:
    """The token and its active account; None where it is unknown, revoked or too old."""
    query = select(ApiToken, Account).join(Account, col(Account.id) == col(ApiToken.account_id))
    row = session.execute(query.where(col(ApiToken.token_sha256) == sha256(secret))).first()
    if row is None or row[0].revoked_at is not None or row[0].expires_at <= now() or not row[1].active:
        return None
    return row[0], row[1]


def note_attempt(session: Session, name: str, address: str) -> int:
    """Remember that a password is tried, as a wrong one; returns its number."""
    attempt = LoginAttempt(name=name, address=address, succeeded=False)
    session.add(attempt)
    session.flush()
    assert attempt.id is not None
    return attempt.id


def attempt_succeeded(session: Session, attempt_id: int) -> None:
    """The password was right."""
    session.get_one(LoginAttempt, attempt_id).succeeded = True


def failures_since(session: Session, since: datetime, *, name: str | None = None, address: str | None = None) -> int:
    """Wrong passwords since a moment: of a name since its last right one, or from an address."""
    query = select(func.count()).select_from(LoginAttempt).where(col(LoginAttempt.succeeded).is_(False), col(LoginAttempt.at) >= since)
    if name is not None:
        right = select(func.max(col(LoginAttempt.id))).where(col(LoginAttempt.name) == name, col(LoginAttempt.succeeded).is_(True))
        query = query.where(col(LoginAttempt.name) == name, col(LoginAttempt.id) > func.coalesce(right.scalar_subquery(), 0))
    if address is not None:
        query = query.where(col(LoginAttempt.address) == address)
    return int(session.execute(query).scalar_one())


def revoke_token(session: Session, account_id: int, token_id: int) -> None:
    """Take back a token of this account. Raises UsageError where it has no such token."""
    token = session.get(ApiToken, token_id)
    if token is None or token.account_id != account_id:
        raise UsageError(f"this account has no token {token_id}")
    token.revoked_at = token.revoked_at or now()
    session.flush()
