"""Step ``accounts``: accounts of the review application, their passwords and API tokens."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from cacapp.db.engine.session import Database
from cacapp.db.review.accounts import (
    account_named,
    end_sessions,
    failures_since,
    locked_account,
    make_token,
    new_secret,
    note_attempt,
    require_account,
    revoke_token,
    unchanged,
)
from cacapp.db.review.looks import ROLE_SET
from cacapp.db.review.readings import write_event
from cacapp.db.review.tables import Account, ApiToken
from cacapp.db.tables import now
from cacapp.exceptions import CacappError, UsageError
from cacapp.steps.review.roles import DECIDE, OWNER, PERMISSIONS, ROLES

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_PASSWORD, MAX_PASSWORD = 10, 200
MAX_LABEL, MAX_TOKEN_DAYS, TOKEN_DAYS = 100, 366, 90
THROTTLE_WINDOW = timedelta(minutes=15)
MAX_FAILURES_OF_NAME, MAX_FAILURES_OF_ADDRESS = 5, 25
INSTALL = "pip install 'cacapp[review]'"


class Throttled(CacappError):  # noqa: N818 - an answer to a request, not a failure
    """Too many wrong passwords for a name or from an address."""


def add_account(db: Database, name: str, role: str, password: str | None, by: str | None = None) -> Account:
    """Create an account. ``by``: the person at work, for the audit trail; None for the account itself.

    Raises UsageError for an invalid name, role or password, or a name in use.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", name):
        raise UsageError(f"name {name!r}: use 1 to 40 small letters, digits, dots, dashes, underscores")
    if role not in (*ROLES, OWNER):
        raise UsageError(f"role {role!r}: choose one of {', '.join(ROLES)}")
    hashed = None if password is None else hash_password(password, name)
    with db.session() as session:
        if account_named(session, name) is not None:
            raise UsageError(f"there is an account {name} already; `cacapp users passwd {name}` sets a new password")
        account = Account(name=name, role=role, password_hash=hashed)
        session.add(account)
        session.flush()
        write_event(session, by or name, "account made", f"account {name}", role=role)
        return account


def set_password(db: Database, name: str, password: str, by: str, address: str = "") -> None:
    """Set a new password, and end all sessions and tokens of the account."""
    hashed = hash_password(password, name)
    with db.session() as session:
        account = locked_account(session, require_account(session, name).id)
        account.password_hash = hashed
        end_sessions(session, account.id)
        write_event(session, by, "password set", f"account {name}", address)


def set_active(db: Database, name: str, active: bool, by: str) -> None:
    """Enable or disable an account; disabling ends its sessions and tokens. Its decisions stay."""
    with db.session() as session:
        account = locked_account(session, require_account(session, name).id)
        account.active = active
        if not active:
            end_sessions(session, account.id)
        write_event(session, by, "account enabled" if active else "account disabled", f"account {name}")


def set_role(db: Database, name: str, role: str, by: str) -> None:
    """Give an account another role, and end its sessions and tokens. Raises UsageError for an unknown role, or the owner's account."""
    if role not in ROLES:
        raise UsageError(f"role {role!r}: choose one of {', '.join(ROLES)}")
    with db.session() as session:
        account = locked_account(session, require_account(session, name).id)
        if account.role == OWNER:
            raise UsageError(f"account {name} is the owner's of single-user mode; its role stays")
        write_event(session, by, ROLE_SET, f"account {name}", role=role, before=account.role)
        account.role = role
        end_sessions(session, account.id)


def add_token(
    db: Database, name: str, label: str, by: str, *, days: int = TOKEN_DAYS, can_write: bool = False, address: str = ""
) -> tuple[ApiToken, str]:
    """Create an API token of an account; return it and its secret, of which only a digest is stored.

    Args:
        label: what the token is for, 1 to MAX_LABEL characters.
        by: the person at work, for the audit trail.
        days: the token is valid for this time, 1 to MAX_TOKEN_DAYS.
        can_write: the token may also decide on cells.

    Raises:
        UsageError: there is no such account, it is disabled, its role may not decide on cells, or a value is out of range.
    """
    label = label.strip()
    if not 1 <= len(label) <= MAX_LABEL or not label.isprintable():
        raise UsageError(f"label {label!r}: use 1 to {MAX_LABEL} printable characters")
    if not 1 <= days <= MAX_TOKEN_DAYS:
        raise UsageError(f"{days} days: a token is valid for 1 to {MAX_TOKEN_DAYS} days")
    with db.session() as session:
        account = locked_account(session, require_account(session, name).id)
        if not account.active:
            raise UsageError(f"account {name} is disabled; `cacapp users enable {name}` enables it")
        if can_write and DECIDE not in PERMISSIONS[account.role]:
            raise UsageError(f"account {name} is a {account.role}'s, which may not decide on cells; its tokens only read")
        token, secret = make_token(session, account.id, label, days, can_write)
        write_event(session, by, "token made", f"token {token.id}", address, label=label, can_write=token.can_write)
        return token, secret


def end_token(db: Database, name: str, token_id: int, by: str, address: str = "") -> None:
    """Revoke an API token of an account. Raises UsageError if the account does not have this token."""
    with db.session() as session:
        revoke_token(session, require_account(session, name).id, token_id)
        write_event(session, by, "token revoked", f"token {token_id}", address)


def token_state(token: ApiToken) -> str:
    """Return "active", "revoked" or "expired"."""
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at <= now() else "active"


def verify_password(db: Database, name: str, password: str, address: str) -> Account | None:
    """Return the active account if the password is right, else None; an unknown name takes the same time.

    The attempt is recorded after the check: a server killed in between leaves no wrong password behind.

    Raises Throttled after too many wrong passwords for the name or from the address; those that are just being checked count too.
    """
    from argon2.exceptions import Argon2Error, InvalidHashError

    name = name[:100]
    since = now() - THROTTLE_WINDOW
    with _being_checked(str(db), name, address) as (of_name, of_address):
        with db.reading() as session:
            if (
                failures_since(session, since, name=name) + of_name >= MAX_FAILURES_OF_NAME
                or failures_since(session, since, address=address) + of_address >= MAX_FAILURES_OF_ADDRESS
            ):
                raise Throttled(f"too many wrong passwords; wait {int(THROTTLE_WINDOW.total_seconds() // 60)} minutes")
            account = account_named(session, name)
        hasher = _hasher()
        known = account.password_hash if account is not None and account.active and account.password_hash else None
        try:
            hasher.verify(known or _unknown_hash(), password[: MAX_PASSWORD + 1])
            right = known is not None
        except (Argon2Error, InvalidHashError):
            right = False
        with db.session() as session:
            note_attempt(session, name, address, succeeded=right)
            if not right:
                write_event(session, name, "wrong password", f"account {name}", address)
                return None
            assert account is not None
            if known is not None and hasher.check_needs_rehash(known) and unchanged(session, account):
                account.password_hash = hasher.hash(password)
                locked_account(session, account.id).password_hash = account.password_hash
    return account


_checked_now: Counter[tuple[str, str, str]] = Counter()
_counting = threading.Lock()


@contextmanager
def _being_checked(db: str, name: str, address: str) -> Iterator[tuple[int, int]]:
    """Count a check while it lasts; yield how many others of the name and from the address this process has in work."""
    keys = ((db, "name", name), (db, "address", address))
    with _counting:
        others = _checked_now[keys[0]], _checked_now[keys[1]]
        _checked_now.update(keys)
    try:
        yield others
    finally:
        with _counting:
            _checked_now.subtract(keys)
            for key in keys:
                if not _checked_now[key]:
                    del _checked_now[key]


def hash_password(password: str, name: str) -> str:
    """Hash a password by argon2id with the library's parameters. Raises UsageError for one that is too short, too long or easy to guess."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise UsageError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    if password.lower() == name.lower() or len(set(password)) < 4:
        raise UsageError("this password is too easy to guess; take several words")
    return _hasher().hash(password)


def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ModuleNotFoundError:
        raise CacappError(f"the review application needs further packages: {INSTALL}") from None
    return PasswordHasher()


@lru_cache(maxsize=1)
def _unknown_hash() -> str:
    """Return a hash that no password fits; checking it takes as long as a real one."""
    return _hasher().hash(new_secret())
