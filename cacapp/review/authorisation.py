"""Authentication and authorisation of requests: sessions, tokens, roles, CSRF tokens, origin."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from cacapp.db.engine.session import Database
from cacapp.db.review.accounts import account_of_token, close_session, session_of, touch_session
from cacapp.db.review.tables import Account
from cacapp.db.tables import now
from cacapp.exceptions import CacappError
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
    """The account behind a request. ``csrf``: the token its forms carry; "" for an API token, which no browser sends by itself."""

    account_id: int
    name: str
    role: str
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
        if self.token:
            visitor = await run_in_threadpool(_by_token, request)
        else:
            visitor = await run_in_threadpool(_by_cookie, request, self.prolongs_session)
            if request.method not in SAFE:
                require_same_origin(request)
                given = request.headers.get("x-csrf-token") or str((await request.form()).get("csrf_token", ""))
                if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
                    raise Forbidden("this page is out of date; load it again")
        if not visitor.may(self.permission):
            raise Forbidden(f"your role, {visitor.role}, may not do this")
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


def admitted(settings: Settings, account: Account) -> bool:
    """Return whether the account may use this server: an owner only in single-user mode under their own name."""
    return account.active and (account.role != OWNER or account.name == settings.owner)


def address_of(request: Request) -> str:
    """Return the client's address, for the audit trail and throttling."""
    return request.client.host if request.client else ""


def _by_cookie(request: Request, prolongs_session: bool) -> Visitor:
    db: Database = request.app.state.db
    settings: Settings = request.app.state.settings
    secret = request.cookies.get(SESSION_COOKIE)
    if not secret or len(secret) > 100:
        raise NotLoggedIn("log in first")
    with db.reading() as session:
        found = session_of(session, secret)
    if found is None or not admitted(settings, found[1]):
        raise NotLoggedIn("log in first")
    web_session, account = found
    moment = now()
    if moment - web_session.last_seen_at > settings.idle or moment - web_session.created_at > settings.longest:
        with db.session() as session:
            close_session(session, secret)
        raise NotLoggedIn(f"you were logged out after {int(settings.idle.total_seconds() // 60)} minutes without use")
    if prolongs_session and moment - web_session.last_seen_at > min(TOUCH_EVERY, settings.idle / 4):
        with db.session() as session:
            touch_session(session, secret)
    return Visitor(web_session.account_id, account.name, account.role, csrf_of(secret), address_of(request))


def _by_token(request: Request) -> Visitor:
    db: Database = request.app.state.db
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret or len(secret) > 100:
        raise NotLoggedIn("send a token: Authorization: Bearer TOKEN; get one on your account page or with: cacapp users token NAME")
    with db.reading() as session:
        found = account_of_token(session, secret)
    if found is None or not admitted(request.app.state.settings, found[1]):
        raise NotLoggedIn("this token is unknown, revoked or expired")
    token, account = found
    return Visitor(token.account_id, account.name, account.role, "", address_of(request), token.can_write)
