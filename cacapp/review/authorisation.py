"""Authentication and authorisation of requests: sessions, tokens, roles, CSRF tokens, origin."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from sqlmodel import Session
from starlette.datastructures import FormData

from cacapp.db.engine.session import Database
from cacapp.db.review.accounts import (
    CLOCK_SLACK,
    account_of_token,
    close_session,
    locked_account,
    session_of,
    sha256,
    touch_session,
)
from cacapp.db.review.tables import Account, WebSession
from cacapp.db.tables import now
from cacapp.exceptions import CacappError, UsageError
from cacapp.review.lanes import Lane
from cacapp.review.later import Later
from cacapp.review.settings import Settings
from cacapp.steps.review.roles import AUDIT, DECIDE, OWNER, PERMISSIONS, READ, SIGN

SESSION_COOKIE, FORM_COOKIE = "cacapp_session", "cacapp_form"
SAFE = ("GET", "HEAD", "OPTIONS")
TOUCH_EVERY = timedelta(seconds=60)


class NotLoggedIn(CacappError):  # noqa: N818 - an answer to a request, not a failure
    """The request has no valid session or token."""


class Forbidden(CacappError):  # noqa: N818
    """The account's role does not allow this, or the request did not come from one of our pages."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The account behind a request.

    Attributes:
        digest: SHA-256 of the session's or token's secret.
        csrf: the token its forms carry; "" for an API token, which no browser sends by itself.
    """

    account_id: int
    name: str
    role: str
    digest: str
    csrf: str
    address: str
    can_write: bool = True

    def may(self, what: str) -> bool:
        """Return whether the role, and the token, allow it."""
        return what in PERMISSIONS[self.role] and (self.can_write or what in (READ, AUDIT))


class Needs:
    """A dependency of routes: admits requests of accounts that have a permission.

    Attributes:
        permission: READ, DECIDE, SIGN or AUDIT.
        token: accounts are identified by bearer token instead of the session cookie.
        prolongs_session: the request counts as use of the session.
    """

    def __init__(self, permission: str, *, token: bool = False, prolongs_session: bool = True) -> None:
        self.permission = permission
        self.token = token
        self.prolongs_session = prolongs_session

    async def __call__(self, request: Request) -> Visitor:
        lane: Lane = request.app.state.lanes["admission"]
        if self.token:
            visitor = await lane.run(address_of(request), partial(_by_token, request))
        else:
            visitor = await lane.run(address_of(request), partial(_by_cookie, request, self.prolongs_session))
            if request.method not in SAFE:
                require_same_origin(request)
                given = request.headers.get("x-csrf-token") or str((await form_of(request)).get("csrf_token", ""))
                if not hmac.compare_digest(given.encode("utf-8", "replace"), visitor.csrf.encode()):
                    raise Forbidden("this page is out of date; load it again")
        if not visitor.may(self.permission):
            raise Forbidden(f"your role, {visitor.role}, may not do this")
        request.state.visitor = visitor
        return visitor


Viewer = Annotated[Visitor, Depends(Needs(READ))]
Reviewer = Annotated[Visitor, Depends(Needs(DECIDE))]
Signer = Annotated[Visitor, Depends(Needs(SIGN))]
Auditor = Annotated[Visitor, Depends(Needs(AUDIT))]
Watcher = Annotated[Visitor, Depends(Needs(READ, prolongs_session=False))]
ApiViewer = Annotated[Visitor, Depends(Needs(READ, token=True))]
ApiReviewer = Annotated[Visitor, Depends(Needs(DECIDE, token=True))]


def csrf_of(secret: str) -> str:
    """Return the CSRF token of a session, derived from its secret without revealing it."""
    return hmac.new(secret.encode(), b"cacapp csrf", hashlib.sha256).hexdigest()


def require_same_origin(request: Request) -> None:
    """Raise Forbidden for a write from another site's page."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden("a write from another site is refused")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("a write from another site is refused")


async def form_of(request: Request) -> FormData:
    """Return the fields of a form. Raises UsageError for a body that is no form, or in no known charset."""
    try:
        return await request.form()
    except (LookupError, ValueError):
        raise UsageError("the form cannot be read; send it as UTF-8") from None


def admitted(settings: Settings, account: Account) -> bool:
    """Return whether the account may use this server: an owner only in single-user mode under their own name."""
    return account.active and (account.role != OWNER or account.name == settings.owner)


def address_of(request: Request) -> str:
    """Return the client's address, for the audit trail and throttling; a text that is none, from a proxy's header, is shortened."""
    host = request.client.host if request.client else ""
    try:
        return str(ip_address(host))
    except ValueError:
        return "".join(c for c in host if c.isprintable())[:60]


def require_admitted(session: Session, settings: Settings, visitor: Visitor) -> None:
    """Raise NotLoggedIn unless a visitor admitted earlier still is one: same session or token, active account, same role."""
    if visitor.csrf:
        found = session_of(session, visitor.digest)
        account = None if found is None or session_problem(settings, found[0]) else found[1]
    else:
        token = account_of_token(session, visitor.digest)
        account = None if token is None or token[0].can_write != visitor.can_write else token[1]
    if account is None or account.role != visitor.role or not admitted(settings, account):
        raise NotLoggedIn("your session was ended, since the account or its password was changed")


def require_admitted_to_write(session: Session, settings: Settings, visitor: Visitor) -> None:
    """Do the same at the start of a writing transaction; nobody changes the account before it ends."""
    locked_account(session, visitor.account_id)
    require_admitted(session, settings, visitor)


def session_problem(settings: Settings, web_session: WebSession, last_use: datetime | None = None) -> str | None:
    """Return why a session has ended by itself; None if it has not. ``last_use``: a use that is not stored yet."""
    moment = now()
    used = max(web_session.last_seen_at, last_use or web_session.last_seen_at)
    if moment - used > settings.idle or moment - web_session.created_at > settings.longest:
        return f"you were logged out after {int(settings.idle.total_seconds() // 60)} minutes without use"
    if max(used, web_session.created_at) > moment + CLOCK_SLACK:
        return "you were logged out, since the clock of the server was set back"
    return None


def _by_cookie(request: Request, prolongs_session: bool) -> Visitor:
    db: Database = request.app.state.db
    settings: Settings = request.app.state.settings
    later: Later = request.app.state.later
    secret = request.cookies.get(SESSION_COOKIE)
    if not secret or len(secret) > 100:
        raise NotLoggedIn("log in first")
    digest = sha256(secret)
    last_use: datetime | None = later.waiting(("session", digest))
    with db.reading() as session:
        found = session_of(session, digest)
    if found is None or not admitted(settings, found[1]):
        raise NotLoggedIn("log in first")
    web_session, account = found
    if problem := session_problem(settings, web_session, last_use):
        later.put(("session", digest), partial(close_session, digest=digest))
        raise NotLoggedIn(problem)
    moment = now()
    used = max(web_session.last_seen_at, last_use or web_session.last_seen_at)
    if prolongs_session and moment - used > min(TOUCH_EVERY, settings.idle / 4):
        later.put(("session", digest), partial(touch_session, digest=digest, at=moment), moment)
    return Visitor(web_session.account_id, account.name, account.role, digest, csrf_of(secret), address_of(request))


def _by_token(request: Request) -> Visitor:
    db: Database = request.app.state.db
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret or len(secret) > 100:
        raise NotLoggedIn("send a token: Authorization: Bearer TOKEN; get one on your account page or with: cacapp users token NAME")
    digest = sha256(secret)
    with db.reading() as session:
        found = account_of_token(session, digest)
    if found is None or not admitted(request.app.state.settings, found[1]):
        raise NotLoggedIn("this token is unknown, revoked or expired")
    token, account = found
    return Visitor(token.account_id, account.name, account.role, digest, "", address_of(request), token.can_write)
